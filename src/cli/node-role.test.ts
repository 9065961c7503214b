import { expect, test } from 'vitest';
import type { Node } from '../spec/node.ts';
import { startTestManager } from '../../manager/testing.ts';
import { parseArguments } from './arguments.ts';
import { command as ls } from './commands/node-ls.ts';
import { demote, promote } from './commands/node-role.ts';
import { contextOf } from '../../test/cli-samples.ts';

test('a host is promoted and demoted, and told of as what it is', async () => {
  await using manager = await startTestManager();
  await (await manager.agent(await manager.join('manager', 'a'))).greet();
  const worker = await manager.agent(await manager.join('worker', 'b'));
  await worker.greet();
  const { context, said } = contextOf(manager.client, '/');
  const run = (command: typeof ls, words: string[]) => command.run(context, parseArguments(command, words));
  const roles = async () =>
    (await manager.client.request<Node[]>('GET', '/nodes')).map(({ name, role }) => `${name} ${role}`);
  await run(promote, ['b']);
  expect(await roles()).toEqual(['a manager', 'b manager']);
  expect(said.join('\n')).toMatch(/b becomes a manager.*\nAn even number of managers \(2\)/);
  await run(ls, []);
  expect(said.join('\n')).toMatch(/HOSTNAME.*ROLE +MANAGER.*[\s\S]*b .* manager +Joining/);
  await run(demote, ['b']);
  expect(await roles()).toEqual(['a manager', 'b worker']);
  await expect(run(demote, ['a'])).rejects.toThrow(/it is the only manager/);
});
