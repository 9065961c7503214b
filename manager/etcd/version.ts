import { ShoalError } from '../../src/util/errors.ts';

export interface EtcdVersion {
  major: number;
  minor: number;
  patch: number;
}

/** Of each minor version that is served: from which patch on all is mended that we know to matter, and what is refused. */
const served: Readonly<Record<string, { goodFrom: number; refusedUntil?: number }>> = {
  // stale reads when a leader was paused (etcd#20418), lost and repeated watch events
  '3.4': { goodFrom: 42 },
  // a crash loses transactions on one member (etcd#13766)
  '3.5': { goodFrom: 28, refusedUntil: 2 },
  '3.6': { goodFrom: 9 },
};

const servedWords = 'etcd 3.4, 3.5 from 3.5.3 on, or 3.6';

/** What `etcd --version` prints, as a version. Throws `not_supported` for anything else. */
export function parseEtcdVersion(text: string): EtcdVersion {
  const found = /etcd Version: (\d+)\.(\d+)\.(\d+)/.exec(text);
  if (found === null) {
    throw new ShoalError('not_supported', 'Cannot use etcd: it does not say which version it is', {
      next: `Install ${servedWords}.`,
    });
  }
  return { major: Number(found[1]), minor: Number(found[2]), patch: Number(found[3]) };
}

export function formatEtcdVersion({ major, minor, patch }: EtcdVersion): string {
  return `${major}.${minor}.${patch}`;
}

/**
 * Whether this etcd may hold the store. Gives a warning in words when it works but has known faults. Throws `not_supported`
 * for one that loses data, and for one that Shoal has not been made for.
 */
export function checkEtcdVersion(version: EtcdVersion): string | undefined {
  const name = `etcd ${formatEtcdVersion(version)}`;
  const rule = served[`${version.major}.${version.minor}`];
  if (rule === undefined) {
    throw new ShoalError('not_supported', `Cannot use ${name}: Shoal does not know this version`, {
      next: `Install ${servedWords}.`,
    });
  }
  if (rule.refusedUntil !== undefined && version.patch <= rule.refusedUntil) {
    throw new ShoalError('not_supported', `Cannot use ${name}: it loses writes when a member crashes`, {
      next: `Install ${servedWords}.`,
    });
  }
  if (version.patch >= rule.goodFrom) return undefined;
  return `${name} has known faults that ${version.major}.${version.minor}.${rule.goodFrom} does not have; upgrade it`;
}
