// Reads an AsyncAPI document and prints the errors and warnings of the official parser, as a JSON list.

import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const WARNING = 1; // 0 is an error, higher values are hints

const found = await new Parser().validate(readFileSync(0, "utf8"));
const wrong = found.filter((each) => each.severity <= WARNING);
process.stdout.write(JSON.stringify(wrong.map((each) => `${each.path.join(".")}: ${each.message}`)));
