"use strict";
// Lists the operations of the OpenAPI document. The usual viewers would load themselves from another site.
const token = sessionStorage.getItem("token");

function listFields(operation, schemas) {
  const fields = (operation.parameters || []).map((one) => [one.name, one.description || "in the path"]);
  for (const { schema } of Object.values(operation.requestBody?.content || {})) {
    const shape = schema.$ref ? schemas[schema.$ref.split("/").pop()] : schema;
    const needed = shape.required || [];
    for (const [name, field] of Object.entries(shape.properties || {}))
      fields.push([name, [field.description, needed.includes(name) ? "needed" : ""].filter(Boolean).join("; ")]);
  }
  return fields;
}

function makeElement(kind, ...content) {
  const made = document.createElement(kind);
  made.append(...content);
  return made;
}

async function show() {
  const answer = await fetch("/openapi.json", { headers: token ? { Authorization: `Bearer ${token}` } : {} });
  if (!answer.ok) throw new Error((await answer.json()).detail);
  const { paths, components } = await answer.json();
  for (const [path, operations] of Object.entries(paths))
    for (const [method, operation] of Object.entries(operations)) {
      const fields = listFields(operation, components.schemas).map(([name, text]) =>
        makeElement("div", makeElement("code", name), text ? `: ${text}` : ""),
      );
      const request = makeElement("code", `${method.toUpperCase()} ${path}`);
      const row = makeElement("tr", makeElement("td", request), makeElement("td", operation.description || ""));
      row.append(makeElement("td", ...fields));
      document.getElementById("rows").append(row);
    }
}

show().catch((error) => {
  document.getElementById("error").textContent = error.message;
  document.getElementById("error").hidden = false;
});
