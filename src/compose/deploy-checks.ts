import { isJob, serviceMode } from './deploy.ts';
import type { CanonicalService } from './model.ts';
import type { Speaker } from './speaker.ts';
import type { PathSegment } from './tree.ts';

/** Checks what goes with the mode of a service: global ones have no number of replicas, and jobs end. */
export function checkMode(
  path: readonly PathSegment[],
  service: CanonicalService,
  { refuse }: Speaker,
): void {
  const { deploy, scale, restart } = service;
  if (serviceMode(service).kind === 'global') {
    if (deploy?.replicas !== undefined) {
      refuse(
        [...path, 'deploy', 'replicas'],
        'a global service runs once on every node and has no number of replicas',
        `leave out replicas or mode: ${deploy.mode}`,
      );
    }
    if (scale !== undefined) {
      const hint = `leave out scale or mode: ${deploy?.mode}`;
      refuse([...path, 'scale'], 'a global service has no scale', hint);
    }
  }
  if (!isJob(service)) return;
  const begins = 'a job is done when its programs have ended well, and this would begin them again';
  if (deploy?.restart_policy?.condition === 'any') {
    refuse([...path, 'deploy', 'restart_policy', 'condition'], begins, 'write on-failure or none');
  }
  if (deploy?.restart_policy === undefined && (restart === 'always' || restart === 'unless-stopped')) {
    refuse([...path, 'restart'], begins, 'write on-failure or no');
  }
  for (const name of ['update_config', 'rollback_config'] as const) {
    if (deploy?.[name] === undefined) continue;
    refuse(
      [...path, 'deploy', name],
      'a job that changes is not rolled: all of it runs anew',
      'leave it out',
    );
  }
}
