// Calls a running service by a client that openapi-typescript has made: `node client.js <url> <key>`.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Schemas = components["schemas"];
const [url = "", key = ""] = process.argv.slice(2);
const api = createClient<paths>({ baseUrl: url, headers: { "X-API-Key": key } });

function given<T>(answer: { data?: T; error?: Schemas["Problem"]; response: Response }): T {
  if (answer.data === undefined) {
    throw new Error(`${answer.response.status}: ${answer.error?.detail}`);
  }
  return answer.data;
}

const experiment = "hillstrom";
const features: Schemas["Features"] = given(
  await api.GET("/features", { params: { query: { experiment } } }),
);
const attributes = features.example;
const byAttributes: Schemas["Decision"] = given(
  await api.POST("/score", { body: { experiment, attributes, budget: 0.3 } }),
);
const byId = given(await api.POST("/score", { body: { experiment, user_id: 7 } }));
const byText = given(await api.POST("/score", { body: { experiment, user_id: "7" } }));
const batch: Schemas["Decisions"] = given(
  await api.POST("/score/batch", { body: { experiment, rows: [attributes, attributes] } }),
);
const batchOfIds = given(
  await api.POST("/score/batch", { body: { experiment, user_ids: [7, "8"] } }),
);
const explanation = given(await api.POST("/explain", { body: { experiment, attributes } }));
const policy = given(await api.GET("/policy", { params: { query: { experiment, budget: 0.3 } } }));
const models = given(await api.GET("/models"));

const refused = await api.POST("/score", { body: { experiment, attributes, budget: 2 } });
const problem: Schemas["Problem"] | undefined = refused.error;

// What is misspelt or of another type does not compile.
// @ts-expect-error
const misspelt: Schemas["ScoreRequest"] = { experiment, atributes: attributes };
// @ts-expect-error
const mistyped: Schemas["BatchRequest"] = { experiment, user_ids: "7" };

const decision: "treat" | "no_treat" = byAttributes.decision;
console.log(
  JSON.stringify({
    decision,
    scores: [byAttributes.score, byId.score, byText.score],
    batch: batch.scores,
    batch_of_ids: batchOfIds.scores,
    explained: explanation.contributions.reduce((sum, part) => sum + part.contribution, explanation.base),
    threshold: policy.rows[0]?.threshold,
    models: models.map((model) => model.experiment),
    problem: problem?.detail,
    status: refused.response.status,
    wrong: [misspelt, mistyped].length,
  }),
);
