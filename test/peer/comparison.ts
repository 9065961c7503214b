/** What two printed models say differently. */

export interface Difference {
  /** `services.web.ports.0.target` */
  path: string;
  /** Undefined where one says nothing. */
  dockerCompose: unknown;
  shoal: unknown;
}

type Table = Record<string, unknown>;

function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Every place where the two differ, in order of paths. */
export function differences(dockerCompose: unknown, shoal: unknown): Difference[] {
  const found: Difference[] = [];
  compare(dockerCompose, shoal, '', found);
  // The same data, and not in the same order.
  if (found.length === 0 && JSON.stringify(dockerCompose) !== JSON.stringify(shoal)) {
    found.push({ path: '', dockerCompose: 'order', shoal: 'order' });
  }
  return found;
}

function compare(dockerCompose: unknown, shoal: unknown, path: string, found: Difference[]): void {
  if (isTable(dockerCompose) && isTable(shoal)) {
    const keys = new Set([...Object.keys(dockerCompose), ...Object.keys(shoal)]);
    for (const key of [...keys].sort()) {
      compare(dockerCompose[key], shoal[key], path === '' ? key : `${path}.${key}`, found);
    }
    return;
  }
  if (Array.isArray(dockerCompose) && Array.isArray(shoal) && dockerCompose.length === shoal.length) {
    for (const [index, item] of dockerCompose.entries())
      compare(item, shoal[index], `${path}.${index}`, found);
    return;
  }
  if (JSON.stringify(dockerCompose) !== JSON.stringify(shoal)) found.push({ path, dockerCompose, shoal });
}
