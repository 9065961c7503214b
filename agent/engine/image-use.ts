/** One image by its full name, and when it was last known to be used, as the engine has it on record. */
export interface ImageUse {
  name: string;
  /** ms since the epoch; absent when nobody has looked before. */
  usedAt?: number;
}

export interface ImagePlan {
  remove: string[];
  /** What to put on record. */
  mark: { name: string; usedAt: number }[];
}

/**
 * Which images have been of no use for so long that they go. `inUse` are those that a container or a task has now, `seen`
 * when this process last used one. An image that nobody has looked at before counts as used now.
 */
export function planImages(
  images: ImageUse[],
  inUse: ReadonlySet<string>,
  seen: ReadonlyMap<string, number>,
  times: { now: number; unusedMs: number },
): ImagePlan {
  const plan: ImagePlan = { remove: [], mark: [] };
  for (const { name, usedAt } of images) {
    const latest = inUse.has(name) ? times.now : Math.max(usedAt ?? 0, seen.get(name) ?? 0) || times.now;
    if (times.now - latest > times.unusedMs) plan.remove.push(name);
    else if (latest !== usedAt) plan.mark.push({ name, usedAt: latest });
  }
  return plan;
}
