import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { startTestManager } from '../../manager/testing.ts';
import { contextOf } from '../../test/cli-samples.ts';
import { parseArguments } from './arguments.ts';
import { commands } from './main.ts';

/** A manager that plans nothing, and two folders called `app` with a file each. */
async function twoFolders() {
  const top = await mkdtemp(join(tmpdir(), 'shoal-origin-'));
  onTestFinished(() => rm(top, { recursive: true }));
  for (const [folder, text] of [
    ['a/app', 'services: { shop: { image: busybox, volumes: ["data:/data"] } }\nvolumes: { data: {} }'],
    ['b/app', 'services: { wiki: { image: busybox } }'],
  ] as const) {
    await mkdir(join(top, folder), { recursive: true });
    await writeFile(join(top, folder, 'compose.yaml'), text);
  }
  const manager = await startTestManager();
  onTestFinished(() => manager[Symbol.asyncDispose]());
  const run = async (folder: string, line: string, answer?: string, environment = {}) => {
    const words = line.split(' ');
    const wordsOfName = `${words[0]} ${words[1]}` in commands ? 2 : 1;
    const rest = words.splice(wordsOfName);
    const { command } = await commands[words.join(' ')]!();
    const { context, said } = contextOf(manager.client, join(top, folder));
    const ask = answer === undefined ? undefined : () => Promise.resolve(answer);
    const ended = command.run({ ...context, environment, ask }, parseArguments(command, rest));
    await ended.catch((error: unknown) => said.push(String(error)));
    return said.join('\n').replaceAll(top, '');
  };
  const services = () =>
    manager.database.view.services
      .values()
      .filter(({ removing }) => !removing)
      .map(({ spec }) => spec.name)
      .toArray();
  expect(await run('a/app', 'up --detach')).toContain('to create');
  return { manager, run, services };
}

test('up from another folder of the same name is refused where nobody can be asked', async () => {
  const { run, services } = await twoFolders();
  expect(await run('b/app', 'up --detach')).toMatch(
    /Cannot bring up app: it was brought up from \/a\/app on .*, and this is \/b\/app on /,
  );
  expect(services()).toEqual(['app_shop']);
});

test('at a terminal it asks, and the answer counts', async () => {
  const { run, services } = await twoFolders();
  expect(await run('b/app', 'up --detach', 'n')).toMatch(/Cannot bring up app: .*\n.*--yes.*\n.*Cancelled/);
  expect(services()).toEqual(['app_shop']);
  expect(await run('b/app', 'up --detach', 'y')).toMatch(/app_shop is not in the file and runs on/);
  expect(services()).toEqual(['app_shop', 'app_wiki']);
  expect(await run('b/app', 'up --detach')).toContain('nothing to change');
  expect(await run('b/app', 'ls --verbose')).toMatch(/ \/b\/app on /);
  expect(await run('b/app', 'inspect --type application app')).toContain('"folder": "/b/app"');
});

test('--yes takes over without being asked, and a dry run says whose it is', async () => {
  const { run, services } = await twoFolders();
  expect(await run('b/app', 'up --dry-run')).toMatch(
    /warning: app was brought up from \/a\/app on .*; `shoal up` asks before it changes that/,
  );
  expect(services()).toEqual(['app_shop']);
  expect(await run('b/app', 'up --detach --yes --remove-orphans')).toMatch(
    /app was brought up from .*; it belongs to this one from now on/,
  );
  expect(services()).toEqual(['app_wiki']);
});

test('down asks as well, unless the application was named or it is of this folder', async () => {
  const { run, services } = await twoFolders();
  expect(await run('b/app', 'down --timeout 1')).toMatch(
    /Cannot remove app: it was brought up from \/a\/app on .*, and this is \/b\/app on /,
  );
  expect(await run('b/app', 'down --timeout 1', 'n')).toContain('Cancelled');
  expect(services()).toEqual(['app_shop']);
  await run('b/app', 'down -p app --timeout 1');
  expect(services()).toEqual([]);
});

test('a volume that is left is still of its folder: down --volumes from another one asks', async () => {
  const { manager, run } = await twoFolders();
  const { database } = manager;
  const { view } = database;
  await database.write([
    view.services
      .values()
      .map((object) => ({ kind: 'service', action: 'delete', object }) as const)
      .toArray(),
    view.networks
      .values()
      .map((object) => ({ kind: 'network', action: 'delete', object }) as const)
      .toArray(),
  ]);
  expect(await run('b/app', 'down --volumes')).toMatch(
    /Cannot remove app: it was brought up from \/a\/app on /,
  );
  expect(view.volumes.size).toBe(1);
  expect(await run('b/app', 'up --detach')).toMatch(
    /Cannot bring up app: it was brought up from \/a\/app on /,
  );
  expect(await run('b/app', 'inspect --type application app')).toContain('"folder": "/a/app"');
  expect(await run('a/app', 'ls')).not.toContain('app ');
});

test('down removes what was brought up from its folder', async () => {
  const { run, services } = await twoFolders();
  await run('a/app', 'down --timeout 1');
  expect(services()).toEqual([]);
});

test('COMPOSE_REMOVE_ORPHANS makes the removal of orphans the default', async () => {
  const { run, services } = await twoFolders();
  await run('b/app', 'up --detach --yes', undefined, { COMPOSE_REMOVE_ORPHANS: '0' });
  expect(services()).toEqual(['app_shop', 'app_wiki']);
  await run('b/app', 'up --detach', undefined, { COMPOSE_REMOVE_ORPHANS: 'true' });
  expect(services()).toEqual(['app_wiki']);
});

test('a cluster may remove orphans unless who runs the command says otherwise', async () => {
  const { run, services } = await twoFolders();
  expect(await run('a/app', 'cluster update --remove-orphans maybe')).toContain('true or false');
  expect(await run('a/app', 'cluster update --remove-orphans true')).toContain('shoal up removes');
  expect(await run('a/app', 'cluster inspect')).toContain('"removeOrphans": true');
  await run('b/app', 'up --detach --yes', undefined, { COMPOSE_REMOVE_ORPHANS: 'false' });
  expect(services()).toEqual(['app_shop', 'app_wiki']);
  await run('b/app', 'up --detach');
  expect(services()).toEqual(['app_wiki']);
});
