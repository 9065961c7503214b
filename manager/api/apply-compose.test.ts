import { expect, test } from 'vitest';
import { load } from '../../src/compose/fixtures.ts';
import { seededRandom } from '../../src/util/random.ts';
import { applyPlan, viewOf } from '../store/view.ts';
import { planApply } from './apply.ts';

/** What a Compose file that is applied again changes, from the file to the store. */

const text = `
services:
  web: { image: web, secrets: [key], environment: { MODE: "\${MODE:-a}" }, ports: ["80:80"], depends_on: [db] }
  db: { image: db, configs: [settings], env_file: db.env, volumes: ["data:/data"] }
  other: { image: other, networks: [back] }
networks: { back: }
volumes: { data: }
secrets: { key: { file: key.txt } }
configs: { settings: { content: "one" } }
`;
const disk = { '/app/key.txt': 'secret', '/app/db.env': 'A=1' };

/** Applies files one after another; gives what the last changed, as `ACTION KIND NAME`. */
async function apply(
  ...files: { text?: string; disk?: Record<string, string>; environment?: Record<string, string> }[]
) {
  const view = viewOf({});
  const random = seededRandom(1);
  let changed: string[] = [];
  for (const [index, given] of files.entries()) {
    const options = { disk: { ...disk, ...given.disk }, environment: given.environment ?? {} };
    const { application } = await load(given.text ?? text, options);
    const sent = JSON.parse(JSON.stringify(application)) as typeof application;
    const { group, changes } = planApply(view, sent, { now: index + 1, random });
    applyPlan(view, [group]);
    changed = changes
      .filter(({ action }) => action !== 'keep')
      .map(({ action, kind, name }) => `${action} ${kind} ${name}`);
    if (changed.length === 0) expect(group).toEqual([]);
  }
  return changed.toSorted();
}

test('the same file again changes nothing', async () => {
  expect(await apply({}, {})).toEqual([]);
});

test('the same written otherwise changes nothing', async () => {
  const otherwise = `
x-note: this is new
configs: { settings: { content: one } }
secrets: { key: { file: ./key.txt } }
volumes: { data: {} }
networks: { back: {} }
services:
  other: { networks: { back: }, image: other }
  db:
    volumes: [{ type: volume, source: data, target: /data/ }]
    env_file: [{ path: ./db.env, required: true }]
    configs: [{ source: settings, target: /settings, mode: 0444 }]
    image: db
  web:
    depends_on: { db: { condition: service_started } }
    ports: [{ target: 80, published: 80, protocol: tcp, mode: ingress }]
    environment: [MODE=a]
    secrets: [{ source: key }]
    image: web
`;
  expect(await apply({}, { text: otherwise })).toEqual([]);
});

const versioned = /^(?:create|remove) (?:secret|config) /;

test.each([
  [
    'a secret has another content: its users',
    { disk: { '/app/key.txt': 'other' } },
    ['update service app_web'],
  ],
  [
    'a config has another content: its users',
    { text: text.replace('"one"', '"two"') },
    ['update service app_db'],
  ],
  [
    'an environment file says something else: those that name it',
    { disk: { '/app/db.env': 'A=2' } },
    ['update service app_db'],
  ],
  [
    'a variable has another value: those that use it',
    { environment: { MODE: 'b' } },
    ['update service app_web'],
  ],
])('only what %s', async (_, given, expected) => {
  const changed = await apply({}, given);
  expect(changed.filter((line) => !versioned.test(line))).toEqual(expected);
  // the content that was there stays as long as a task or an earlier version refers to it
  expect(changed.filter((line) => line.startsWith('remove'))).toEqual([]);
});

test('back to what it was is a change as well, and then none', async () => {
  const other = { disk: { '/app/key.txt': 'other' } };
  expect(await apply({}, other, {})).toContain('update service app_web');
  expect(await apply({}, other, {}, {})).toEqual([]);
});
