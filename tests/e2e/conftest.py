import pathlib
import shutil
import tempfile

import pytest

import peers
import support


@pytest.fixture
def folder(request, tmp_path: pathlib.Path):
    """Of one test. What passed leaves nothing: all of them would leave 12 GB. What failed stays, to be looked at."""
    failed = request.session.testsfailed
    yield tmp_path
    if request.session.testsfailed == failed:
        shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture(scope="module")
def module_folder(request, tmp_path_factory):
    """One that all tests of a file share."""
    failed = request.session.testsfailed
    path = tmp_path_factory.mktemp("m")
    yield path
    if request.session.testsfailed == failed:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def sandbox(folder):
    made = []

    def make(*args):
        made.append(support.Sandbox(folder / f"sandbox{len(made)}", *args))
        return made[-1]

    yield make
    for s in made:
        if s.process.alive():
            s.process.kill()


@pytest.fixture
def relay(folder):
    made = []

    def make(sections, general="", listeners="", start=True, env=None):
        r = support.Relay(folder / f"relay{len(made)}", sections, general, listeners, env)
        made.append(r)
        if start:
            r.start()
        return r

    yield make
    for r in made:
        r.end()


@pytest.fixture
def open_folder():
    """One that other users may enter: pytest closes its own to them, again and again."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="postern-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def process(folder):
    made = []

    def make(args, name, **kw):
        made.append(support.Process(args, folder / f"{name}.log", **kw))
        return made[-1]

    yield make
    for p in made:
        if p.alive():
            p.kill()


@pytest.fixture
def sink():
    s = peers.Sink()
    yield s
    s.close()


@pytest.fixture
def password(folder):
    path = folder / "mailbox.secret"
    path.write_text("sandbox\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def submission(sandbox, relay, password):
    """A sandbox and a relay whose usual route is `through: sender`, for two mailboxes."""

    def make(*sandbox_args, limits="", general="", routes="  - { through: sender }", more_mailboxes="", listeners="",
             extra="", start=True):
        s = sandbox(*sandbox_args)
        sections = support.TENANT + "mailboxes:" + support.mailbox("erp@contoso.com", s, password, limits) + \
            support.mailbox("crm@contoso.com", s, password, limits) + more_mailboxes + "\nroutes:\n" + routes + "\n" + extra
        return s, relay(sections, general=general, listeners=listeners, start=start)

    return make
