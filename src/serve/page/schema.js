// What the API's description says of a body: an example of it, and its fields in words.

const DEEPEST = 6;

/** The schema behind a reference, and its name where it has one. */
export function resolved(api, schema) {
  let name = null;
  while (schema?.$ref) {
    const path = schema.$ref.split("/").slice(1).map((p) => p.replaceAll("~1", "/").replaceAll("~0", "~"));
    name = path.at(-1);
    schema = path.reduce((at, step) => at?.[step], api);
  }
  return { schema: schema ?? {}, name };
}

const isNull = (schema) => schema?.type === "null";
const firstType = (schema) => (Array.isArray(schema.type) ? schema.type.find((t) => t !== "null") : schema.type);

/** Of several schemas the one to show; of all together one. */
function flat(api, given) {
  const { schema, name } = resolved(api, given);
  const choice = (schema.oneOf ?? schema.anyOf)?.find((s) => !isNull(s));
  if (choice) return { ...flat(api, choice), description: schema.description };
  if (!schema.allOf) return { ...schema, named: name };
  const parts = schema.allOf.map((s) => flat(api, s));
  return {
    ...schema, type: "object", named: name,
    properties: Object.assign({}, ...parts.map((p) => p.properties ?? {}), schema.properties ?? {}),
    required: [...parts.flatMap((p) => p.required ?? []), ...(schema.required ?? [])],
  };
}

/** A value of the schema. */
export function example(api, given, depth = 0) {
  const schema = flat(api, given);
  if (schema.example !== undefined) return schema.example;
  if (schema.default !== undefined) return schema.default;
  if (schema.enum) return schema.enum[0];
  if (depth > DEEPEST) return null;
  switch (firstType(schema)) {
    case "object": {
      const fields = Object.entries(schema.properties ?? {});
      return Object.fromEntries(fields.map(([name, field]) => [name, example(api, field, depth + 1)]));
    }
    case "array": return [example(api, schema.items, depth + 1)];
    case "integer": case "number": return schema.minimum ?? 0;
    case "boolean": return false;
    case "string": return schema.format === "uuid" ? "00000000-0000-0000-0000-000000000000" : "";
    default: return {};
  }
}

/** The type in words: "array of integer", "FaceView". */
export function typeOf(api, given) {
  const schema = flat(api, given);
  if (schema.enum) return schema.enum.map((v) => JSON.stringify(v)).join(" or ");
  const type = firstType(schema) ?? "anything";
  if (type === "array") return `array of ${typeOf(api, schema.items)}`;
  if (type === "object" && schema.named) return schema.named;
  const bounds = [["minimum", "from"], ["maximum", "to"], ["minLength", "at least"], ["maxLength", "at most"]]
    .filter(([key]) => schema[key] !== undefined).map(([key, word]) => `${word} ${schema[key]}`);
  return [type, schema.format && `(${schema.format})`, ...bounds].filter(Boolean).join(" ");
}

/** The fields of a body: [name, type, description, fields of its own]. */
export function fields(api, given, depth = 0) {
  const schema = flat(api, given);
  if (firstType(schema) === "array") return fields(api, schema.items, depth);
  if (depth > DEEPEST) return [];
  const required = new Set(schema.required ?? []);
  return Object.entries(schema.properties ?? {}).map(([name, field]) => ({
    name, required: required.has(name), type: typeOf(api, field),
    description: field.description ?? flat(api, field).description ?? "",
    inside: fields(api, field, depth + 1),
  }));
}
