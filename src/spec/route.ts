/**
 * Which of a task's networks, in its order of them, carries the default route: of those that lead out the first with the
 * highest priority; -1 when all are internal.
 */
export function defaultRouteIndex(
  networks: readonly { internal: boolean; gatewayPriority?: number | undefined }[],
): number {
  let best = -1;
  for (const [index, { internal, gatewayPriority = 0 }] of networks.entries()) {
    if (!internal && (best < 0 || gatewayPriority > (networks[best]!.gatewayPriority ?? 0))) best = index;
  }
  return best;
}
