// Explains one instance through a running whybox server and prints who speaks for the answer and who against.
//
//   node explain.js HOST:PORT models/NAME INPUT.json [METHOD] [PARAMS]
//
// INPUT.json: {"column": value, ...} for a table's row, a string for a text, or nested numbers for an array.
// PARAMS: JSON of the method's parameters, as in proto/whybox/v1/method.proto: '{"num_samples": 500}'.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const PROTOS = fileURLToPath(new URL("../../proto", import.meta.url));
const RECEIVE_BYTES = 64 << 20;
const DEADLINE_MS = 120_000;
const SHOWN = 10;
const BAR_CELLS = 24;
// Calls that meet a server about to stop are asked again, of another replica if the address is a headless Service's.
// gRPC ends some of them as CANCELLED. All may be repeated, and what was paid for already the server forbids itself.
const SERVICE_CONFIG = {
  loadBalancingConfig: [{ round_robin: {} }],
  methodConfig: [
    {
      name: [{ service: "whybox.v1.ExplanationService" }],
      retryPolicy: {
        maxAttempts: 5,
        initialBackoff: "0.1s",
        maxBackoff: "1s",
        backoffMultiplier: 3,
        retryableStatusCodes: ["UNAVAILABLE", "CANCELLED"],
      },
    },
  ],
};

const definition = loader.loadSync("whybox/v1/explain.proto", {
  includeDirs: [PROTOS],
  keepCase: true,
  enums: String,
  longs: Number,
  defaults: true,
  oneofs: true,
});
const { whybox } = grpc.loadPackageDefinition(definition);

/** A tensor of float32 from nested arrays of numbers. */
function toTensor(nested) {
  const shape = [];
  for (let at = nested; Array.isArray(at); at = at[0]) shape.push(at.length);
  const numbers = Array.isArray(nested) ? nested.flat(Infinity) : [nested];
  const data = Buffer.alloc(4 * numbers.length);
  numbers.forEach((number, i) => data.writeFloatLE(number, 4 * i));
  return { dtype: "DATA_TYPE_FP32", shape, data };
}

/** Numbers of an FP64 tensor, flat. */
function fromTensor(tensor) {
  return Array.from({ length: tensor.data.length / 8 }, (_, i) => tensor.data.readDoubleLE(8 * i));
}

/** What the file holds, as an Instance. */
function toInstance(input) {
  if (typeof input === "string") return { text: input };
  if (Array.isArray(input)) return { tensors: { by_name: { "": toTensor(input) } } };
  const value = (v) => (typeof v === "string" ? { text: v } : { number: Number(v) });
  return { record: { fields: Object.fromEntries(Object.entries(input).map(([k, v]) => [k, value(v)])) } };
}

/** Lines of signed bars, strongest first, for the first target. */
function bars({ attribution, targets }) {
  const values = fromTensor(attribution.values).slice(0, attribution.names.length || undefined);
  const largest = Math.max(...values.map(Math.abs), Number.MIN_VALUE);
  const order = values.map((_, i) => i).sort((i, j) => Math.abs(values[j]) - Math.abs(values[i]));
  const line = (i) => {
    const bar = (values[i] < 0 ? "-" : "+").repeat(Math.round((BAR_CELLS * Math.abs(values[i])) / largest));
    return `${values[i].toFixed(4).padStart(10)}  ${bar.padEnd(BAR_CELLS)}  ${attribution.names[i] ?? `[${i}]`}`;
  };
  const [target] = targets;
  const head = `${target.label} (${target.index}): ${target.score.toFixed(4)} ${target.space.replace("SCORE_SPACE_", "").toLowerCase()}`;
  return [head, ...order.slice(0, SHOWN).map(line)];
}

function main([address, model, file, method = "lime", params = "{}"]) {
  if (!file) {
    console.error("usage: node explain.js HOST:PORT models/NAME INPUT.json [METHOD] [PARAMS]");
    process.exit(2);
  }
  const client = new whybox.v1.ExplanationService(address, grpc.credentials.createInsecure(), {
    "grpc.max_receive_message_length": RECEIVE_BYTES,
    "grpc.service_config": JSON.stringify(SERVICE_CONFIG),
  });
  const instances = [toInstance(JSON.parse(readFileSync(file, "utf8")))];
  const request = { model, instances, [method]: JSON.parse(params) };
  client.Explain(request, { deadline: Date.now() + DEADLINE_MS }, (error, response) => {
    client.close();
    if (error) {
      console.error(`${grpc.status[error.code]}: ${error.details}`);
      process.exitCode = 1;
      return;
    }
    const [explanation] = response.explanations;
    for (const line of bars(explanation)) console.log(line);
    const { rows_asked, wall_ms } = explanation.usage;
    console.log(`${explanation.provenance.method}, ${rows_asked} rows in ${Math.round(wall_ms)} ms`);
  });
}

main(process.argv.slice(2));
