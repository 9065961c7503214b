import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { startTestManager, until, type TestManager } from '../../manager/testing.ts';
import { contextOf } from '../../test/cli-samples.ts';
import { parseArguments } from './arguments.ts';
import { applicationObjectsMax } from '../spec/defaults.ts';
import { command } from './commands/up.ts';

/** Runs `shoal up` for the file against a manager that plans nothing. */
async function up(text: string): Promise<{
  manager: TestManager;
  ended: Promise<number>;
  notes: string[];
  interrupt: AbortController;
  /** Runs `shoal up --detach` with another file. */
  change: (text: string) => Promise<number>;
}> {
  const directory = await mkdtemp(join(tmpdir(), 'shoal-up-'));
  onTestFinished(() => rm(directory, { recursive: true }));
  await writeFile(join(directory, 'compose.yaml'), text);
  const manager = await startTestManager();
  onTestFinished(() => manager[Symbol.asyncDispose]());
  const interrupt = new AbortController();
  const { context, notes } = contextOf(manager.client, directory, interrupt.signal);
  const change = async (other: string) => {
    await writeFile(join(directory, 'compose.yaml'), other);
    const signal = new AbortController().signal;
    return await command.run({ ...context, signal }, parseArguments(command, ['--detach']));
  };
  return { manager, ended: command.run(context, parseArguments(command, [])), notes, interrupt, change };
}

test('up does not say that an application is up which somebody else has removed meanwhile', async () => {
  const { manager, ended } = await up('name: shop\nservices: { web: { image: nginx } }');
  const outcome = ended.catch((error: unknown) => error);
  const { database } = manager;
  const service = await until(() => database.view.serviceByName('shop_web'));
  const networks = [...database.view.networks.values()];
  await database.write([
    [{ kind: 'service', action: 'delete', object: service }],
    networks.map((object) => ({ kind: 'network', action: 'delete', object })),
  ]);
  expect(await outcome).toMatchObject({
    code: 'overtaken',
    message: 'Cannot bring up shop as asked: there was another change\n  shop_web: it was removed meanwhile',
  });
});

test('what only the manager takes exception to is no wrong use of the command, and is named by its service', async () => {
  const { ended } = await up(
    `name: shop\nservices: { web: { image: nginx, working_dir: /${'x'.repeat(5_000)} } }`,
  );
  await expect(ended).rejects.toMatchObject({
    code: 'failed_precondition',
    message: expect.stringMatching(
      /^Cannot apply shop: task\.container\.workingDirectory of service web: .*4096/,
    ) as string,
  });
});

test('an application that does not fit into one transaction is refused in words before anything is sent', async () => {
  const services = Array.from({ length: applicationObjectsMax }, (_, index) => `  s${index}: { image: a }\n`);
  const { ended } = await up(`name: shop\nservices:\n${services.join('')}`);
  await expect(ended).rejects.toMatchObject({
    code: 'not_supported',
    message: expect.stringMatching(
      /^Cannot run shop: .* are 1001 together, and an application has at most 1000$/,
    ),
  });
});

test('an interrupt does not end what was asked for, and up says so', async () => {
  const { manager, ended, notes, interrupt } = await up('name: shop\nservices: { web: { image: nginx } }');
  await until(() => manager.database.view.serviceByName('shop_web'));
  await until(() => notes[0]);
  interrupt.abort(new Error('interrupted'));
  await expect(ended).rejects.toThrow('interrupted');
  expect(notes.at(-1)).toMatch(
    /^Interrupted\. shop is being brought up all the same: see `shoal ps -p shop`/,
  );
  expect(manager.database.view.serviceByName('shop_web')).toBeDefined();
});

test('what changes of a service is told field by field', async () => {
  const { manager, ended, notes, interrupt, change } = await up(
    'name: shop\nservices: { web: { image: "nginx:1", environment: { KEY: old } } }',
  );
  await until(() => manager.database.view.serviceByName('shop_web'));
  interrupt.abort(new Error('interrupted'));
  await expect(ended).rejects.toThrow('interrupted');
  notes.length = 0;
  await change('name: shop\nservices: { web: { image: "nginx:2", environment: { KEY: new }, scale: 3 } }');
  expect(notes.slice(0, 2)).toEqual([
    'shop: 1 object to update',
    '  shop_web: deploy.replicas: 1 → 3; image: nginx:1 → nginx:2; environment.KEY changed',
  ]);
});
