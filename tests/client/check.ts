// What a TypeScript client writes against the types that are generated from /openapi.json: checked, never run.
import type { components, paths } from "./api.js";

type Box = components["schemas"]["Box"];
type Threshold = components["schemas"]["Threshold"];
type Answer<P extends keyof paths> = paths[P] extends { post: { responses: { 200: { content: { "application/json": infer A } } } } } ? A : never;

const wide = (box: Box): number => box.x1 - box.x0;
const line = (threshold: Threshold): string => `${threshold.distance.toFixed(3)}, ${threshold.fmr ?? "no rate"}`;

export function named(answer: Answer<"/v1/identify">): string[] {
  return answer.faces.map((face) => {
    const near = face.candidates[0];
    return `${face.name ?? "unknown"} ${near?.similarity?.toFixed(0) ?? "-"}% ${wide(face.box)} ${line(face.threshold)}`;
  });
}

export function decided(answer: Answer<"/v1/access/decide">): string {
  const evidence = answer.evidence;
  return `${answer.decision}: ${evidence?.distance ?? "-"} of ${evidence?.threshold ? line(evidence.threshold) : "-"}`;
}

export const same = (answer: Answer<"/v1/verify">): boolean => answer.same && answer.distance <= answer.threshold.distance;

// @ts-expect-error a box has edges, not a list of numbers
export const wrong: Box = [0, 0, 1, 1];
