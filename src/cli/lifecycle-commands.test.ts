import { expect, onTestFinished, test } from 'vitest';
import { startTestManager } from '../../manager/testing.ts';
import { contextOf } from '../../test/cli-samples.ts';
import { sampleSpec, sampleTemplate } from '../../test/samples.ts';
import type { ServiceSpec } from '../spec/service.ts';
import { withCurrentVersion } from '../spec/versions.ts';
import { parseArguments } from './arguments.ts';
import type { Command } from './command.ts';
import { command as history } from './commands/service-history.ts';
import { restart, rollback, start, stop } from './commands/lifecycle.ts';
import { command as scale } from './commands/scale.ts';
import { command as ps } from './commands/ps.ts';

test('services are acted on through the API, in the name of who asks', async () => {
  const manager = await startTestManager();
  onTestFinished(() => manager[Symbol.asyncDispose]());
  const { client, database } = manager;
  const web = () => database.view.serviceByName('app_web')!;
  const put = (spec: ServiceSpec) => {
    const nothing = { networks: [], volumes: [], secrets: [], configs: [] };
    return client.request('PUT', '/applications/app', { name: 'app', services: [spec], ...nothing });
  };
  const { context, lines, notes } = contextOf(client, '/');
  const run = (command: Command, ...argv: string[]) =>
    command.run(context, parseArguments(command, ['-p', 'app', ...argv]));
  await put(sampleSpec('web'));
  const completed = withCurrentVersion(web(), { state: 'completed' });
  await database.write([[{ kind: 'service', action: 'update', object: completed }]]);
  await put(sampleSpec('web', { task: sampleTemplate({ forceUpdate: 1 }) }));

  await run(rollback, '--detach');
  expect(notes.at(-1)).toBe('app_web: rolling back to version 1');
  await run(restart, '--detach', 'web');
  expect(notes.at(-1)).toBe('app_web: restarting as version 4');
  await run(stop);
  expect(web().stopped).toBe(true);
  await run(ps);
  expect(notes.at(-1)).toBe('app_web is stopped; `shoal start app_web` starts it again');
  await run(scale, 'web=7');
  expect(notes.at(-1)).toBe('app_web is stopped: `shoal start app_web` starts it with that many');
  await run(start, '--detach');
  expect(web()).toMatchObject({ spec: { mode: { replicas: 7 } } });
  expect(web()).not.toHaveProperty('stopped');
  await expect(run(rollback, '--detach')).rejects.toThrow('Cannot roll back anything of app');
  await expect(run(rollback, '--to', '1')).rejects.toThrow('Cannot tell whose version 1 is meant');
  await expect(run(rollback, '--detach', '--to', '2', 'web')).rejects.toThrow(
    'version 2 was never completed',
  );
  await run(history);
  expect(lines.join('\n')).toMatch(
    /app_web +3 +superseded .*root \(local socket\) +rollback +back to version 1/,
  );
  await expect(run(stop, 'nothing')).rejects.toMatchObject({ code: 'not_found' });
});
