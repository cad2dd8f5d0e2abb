"""`postern plan`: what a volume needs; from options, and from a configuration."""
import json
import subprocess

from support import POSTERN

CONFIG = """hostname: relay.example.com
data_dir: %s
tenants: [{ name: contoso, id: 11111111-1111-1111-1111-111111111111, domains: [contoso.com], licences: 10,
            app: { client_id: 22222222-2222-2222-2222-222222222222, secret: "env:S" } }]
mailboxes:
  - { address: a@contoso.com, tenant: contoso, doors: [submission, graph] }
  - { address: b@contoso.com, tenant: contoso, provider: submission, limits: { recipients_per_day: 500, share: 100%% } }
connectors:
  - { name: lab, provider: smtp, host: 127.0.0.1, port: 25, tls: none }
routes: [{ through: sender }]
"""


def plan(*args):
    return subprocess.run([POSTERN, "plan", *args], capture_output=True, text=True, check=False, env={"S": "x", "LANG": "C"})


def test_as_many_as_it_needs():
    done = plan("--volume", "1000/day", "--json")
    said = json.loads(done.stdout)
    assert done.returncode == 0 and said["mailboxes"] == 20 and said["fits"] and said["days"] == 1
    assert [row["limit"] for row in said["limits"] if row["binds_first"]] == ["each-day"]
    text = plan("--volume", "1000/day").stdout
    assert "20 mailboxes" in text and "Do not do that" in text and text.isascii()


def test_what_does_not_fit():
    done = plan("--volume", "1000/day", "--mailboxes", "8", "--json")
    said = json.loads(done.stdout)
    assert done.returncode == 69 and not said["fits"] and said["carries_per_day"] == 400 and said["days"] is None


def test_of_a_configuration(tmp_path):
    config = tmp_path / "postern.yaml"
    config.write_text(CONFIG % tmp_path)
    done = plan("--volume", "1000/day", "--each", "0", "--from-config", "--config", str(config), "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    rows = {row["limit"]: row for row in said["limits"]}
    # Two doors are one mailbox; the connector without limits counts, and no limit of a day is its own.
    assert said["mailboxes"] == 3
    assert rows["mailbox-day"]["carries_per_day"] == 8500 and rows["mailbox-day"]["allowed"] is None
    assert rows["tenant-external"]["allowed"] == 9604
    missing = plan("--volume", "1", "--from-config", "--config", str(tmp_path / "none.yaml"))
    assert missing.returncode == 78


def test_bad_questions():
    for words in ([], ["--volume", "0/day"], ["--volume", "1000/month"], ["--volume", "1/day", "--mailboxes", "0"],
                  ["--volume", "1/day", "--days", "3"], ["--volume", "1/day", "--door", "pigeon"], ["--volume", "1/day", "--share", "101"],
                  ["--volume", "1/day", "--from-config", "--mailboxes", "1"], ["--volume", "1/day", "more"]):
        done = plan(*words)
        assert done.returncode == 64 and done.stderr.startswith("postern: ") and not done.stdout, words


def command(name, *args):
    return subprocess.run([POSTERN, name, *args], capture_output=True, text=True, check=False, env={"S": "x", "LANG": "C"})


TWO_NAMES = """hostname: relay.example.com
data_dir: %s
tenants:
  - { name: contoso, id: 11111111-1111-1111-1111-111111111111, domains: [contoso.com], external_per_day: 90,
      app: { client_id: 22222222-2222-2222-2222-222222222222, secret: "env:S" } }
  - { name: contoso-old, id: 11111111-1111-1111-1111-111111111111, domains: [old.example], external_per_day: 90,
      app: { client_id: 22222222-2222-2222-2222-222222222222, secret: "env:S" } }
mailboxes:
  - { address: a@contoso.com, tenant: contoso, provider: submission, limits: { recipients_per_day: 40, share: 100%% } }
  - { address: b@old.example, tenant: contoso-old, provider: submission }
routes: [{ through: sender }]
"""


def test_a_tenant_of_two_names_is_one(tmp_path):
    config = tmp_path / "postern.yaml"
    config.write_text(TWO_NAMES % tmp_path)
    done = command("plan", "--volume", "80/day", "--each", "0", "--from-config", "--config", str(config), "--json")
    rows = {row["limit"]: row for row in json.loads(done.stdout)["limits"]}
    assert rows["tenant-external"]["allowed"] == 90 * 80 // 100 and done.returncode == 69
    # Options say more of it than the configuration.
    done = command("plan", "--volume", "80/day", "--each", "0", "--from-config", "--config", str(config), "--tenant-limit", "500")
    assert done.returncode == 0, done.stdout


def test_simulate_a_configuration(tmp_path):
    config = tmp_path / "postern.yaml"
    config.write_text(TWO_NAMES % tmp_path)
    done = command("simulate", "--from-config", "--config", str(config), "--days", "1", "--each", "200", "--defer", "0", "--json")
    assert done.returncode == 0, done.stderr
    total = json.loads(done.stdout.splitlines()[-1])
    limits = {row["limit"]: row for row in total["limits"]}
    # One tenant of 90 for both, and of the first no more than its own 40.
    assert total["came"] == 400 and 80 <= total["sent"] <= 90 and total["violations"] == 0
    assert (limits["tenant-external"]["used"], limits["tenant-external"]["allowed"]) == (90, 90)
    for words in (["--mailboxes", "3"], ["--tenants", "2"], ["--share", "50"], ["--licences", "4"]):
        assert command("simulate", "--from-config", "--config", str(config), *words).returncode == 64, words
    assert command("simulate", "--from-config", "--config", str(tmp_path / "none.yaml")).returncode == 78
