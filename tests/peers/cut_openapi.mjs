// Cuts GitHub's OpenAPI description to what Longboat and its fake GitHub say to each other, as plain JSON Schema.
//
//   node cut_openapi.mjs api.github.com.json CUT.json
//
// The whole description has 13 MB and takes seconds to read; the cut has the operations below, the payloads of the
// webhooks, and what they refer to. OpenAPI 3.0's `nullable` becomes the type null.
import { readFileSync, renameSync, writeFileSync } from "node:fs";

const OPERATIONS = [
  "get /user",
  "get /repos/{owner}/{repo}",
  "get /repos/{owner}/{repo}/branches",
  "get /repos/{owner}/{repo}/hooks",
  "post /repos/{owner}/{repo}/statuses/{sha}",
  "get /repos/{owner}/{repo}/commits/{ref}/statuses",
  "get /repos/{owner}/{repo}/issues/{issue_number}/comments",
  "post /repos/{owner}/{repo}/issues/{issue_number}/comments",
  "patch /repos/{owner}/{repo}/issues/comments/{comment_id}",
  "get /repos/{owner}/{repo}/pulls",
  "get /repos/{owner}/{repo}/pulls/{pull_number}",
];
const WEBHOOKS = [
  "ping", "push",
  "pull-request-opened", "pull-request-reopened", "pull-request-synchronize", "pull-request-ready-for-review",
  "pull-request-edited", "pull-request-closed",
  "issue-comment-created", "issue-comment-edited", "issue-comment-deleted",
];

const [source, target] = process.argv.slice(2);
const whole = JSON.parse(readFileSync(source, "utf8"));
const cut = { version: whole.info.version, operations: {}, webhooks: {}, components: { schemas: {} } };

const at = (reference) => reference.slice(2).split("/").reduce((value, key) => value[key], whole);
const follow = (value) => (value.$ref ? at(value.$ref) : value);

// Each schema that is referred to comes along, once.
function take(schema) {
  if (Array.isArray(schema)) return schema.map(take);
  if (schema === null || typeof schema !== "object") return schema;
  if (typeof schema.$ref === "string") {
    const name = schema.$ref.split("/").at(-1);
    if (!(name in cut.components.schemas)) {
      cut.components.schemas[name] = true;
      cut.components.schemas[name] = take(at(schema.$ref));
    }
    return { $ref: `#/components/schemas/${name}` };
  }
  const { nullable, description, example, examples, discriminator, ...rest } = schema;
  const kept = Object.fromEntries(Object.entries(rest).map(([key, value]) => [
    key,
    // The names of properties may be those of keywords.
    key === "properties"
      ? Object.fromEntries(Object.entries(value).map(([name, property]) => [name, take(property)]))
      : key === "enum" || key === "default" ? value : take(value),
  ]));
  return nullable ? { anyOf: [kept, { type: "null" }] } : kept;
}

const json = (holder) => holder?.content?.["application/json"]?.schema;
for (const operation of OPERATIONS) {
  const [method, path] = operation.split(" ");
  const found = whole.paths[path]?.[method];
  if (!found) throw new Error(`${operation} is not in ${source}`);
  const shared = whole.paths[path].parameters ?? [];
  const body = found.requestBody && follow(found.requestBody);
  cut.operations[operation] = {
    parameters: [...shared, ...(found.parameters ?? [])].map(follow).map((parameter) => ({
      name: parameter.name, in: parameter.in, required: parameter.required ?? false, schema: take(parameter.schema),
    })),
    body: body ? { required: body.required ?? false, schema: take(json(body)) } : null,
    responses: Object.fromEntries(Object.entries(found.responses).map(([status, response]) => {
      const schema = json(follow(response));
      return [status, schema ? take(schema) : true];
    })),
  };
}
for (const name of WEBHOOKS) {
  const found = whole["x-webhooks"][name];
  if (!found) throw new Error(`the webhook ${name} is not in ${source}`);
  cut.webhooks[name] = take(json(found.post.requestBody));
}
writeFileSync(`${target}.part`, JSON.stringify(cut));
renameSync(`${target}.part`, target);
