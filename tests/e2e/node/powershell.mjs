// Reads PowerShell from standard input with the grammar of tree-sitter; prints the places that it does not understand.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Language, Parser } from "web-tree-sitter";

await Parser.init();
const parser = new Parser();
const grammar = import.meta.resolve("tree-sitter-powershell/tree-sitter-powershell.wasm");
parser.setLanguage(await Language.load(fileURLToPath(grammar)));
const faults = [], commands = [];
const walk = (node) => {
  if (node.isError || node.isMissing) faults.push(`${node.startPosition.row + 1}: ${node.text}`);
  if (node.type === "command_name") commands.push(node.text);
  node.children.forEach(walk);
};
walk(parser.parse(readFileSync(0, "utf8")).rootNode);
console.log(JSON.stringify({ faults, commands }));
