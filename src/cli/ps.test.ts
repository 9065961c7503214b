import { expect, test } from 'vitest';
import { startTestManager } from '../../manager/testing.ts';
import { contextOf } from '../../test/cli-samples.ts';
import { parseArguments } from './arguments.ts';
import { command } from './commands/ps.ts';

test('ps of an application that is not there is an error, and of a cluster without any an empty list', async () => {
  await using manager = await startTestManager();
  const { context, lines } = contextOf(manager.client, manager.folder);
  const ps = (...words: string[]) => command.run(context, parseArguments(command, words));
  await expect(ps('-p', 'nope')).rejects.toMatchObject({
    code: 'not_found',
    message: 'Cannot find an application called "nope"',
  });
  expect(await ps('--json')).toBe(0);
  expect(lines).toEqual(['[]']);
});
