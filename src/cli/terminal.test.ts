import { describe, expect, test } from 'vitest';
import { infoOf } from '../../test/cli-samples.ts';
import { sampleAdministrator, sampleNode, sampleService, sampleTask } from '../../test/samples.ts';
import { ShoalError } from '../util/errors.ts';
import type { Client } from '../wire/client.ts';
import { parseArguments } from './arguments.ts';
import type { Context } from './command.ts';
import { commands, report } from './main.ts';
import { paint, terminalOutput } from './output.ts';
import { renderProgress } from './progress.ts';

/** Clears the screen, sets the title, writes the clipboard, and turns text around; in seven and in eight bits. */
const hostile = '\u001b[2J\u001b]0;gone\u0007\u001b]52;c;cm0=\u0007\u009b31m\u202eabc\r\b';

const service = sampleService('web');
const status = {
  state: 'failed',
  at: 0,
  message: hostile,
  error: { code: 'internal', message: hostile },
} as const;
const task = { ...infoOf(sampleTask(service, 1, { nodeId: 'a', status })), image: hostile };
const node = sampleNode('a');
node.description = { ...node.description!, hostname: hostile, address: hostile };
node.description.engine = { ...node.description.engine, name: hostile, version: hostile };
const resource = { id: 'x', usedBy: [], driverOptions: {}, subnet: hostile, nodeIds: [hostile] };
const named = { ...resource, createdAt: 0, spec: { name: hostile, application: hostile, labels: {} } };

const caller = { kind: 'anonymous', revoked: hostile };
const entry = {
  id: 1,
  at: hostile,
  caller,
  from: hostile,
  method: hostile,
  path: hostile,
  status: 401,
  error: hostile,
};

/** What the API answers, by path. */
const answers: Record<string, unknown> = {
  '/nodes': [node],
  '/tasks': [task],
  '/services': [
    {
      ...service,
      spec: { ...service.spec, name: hostile },
      progress: { desired: 1, running: 1, serving: 1, converged: false, failure: hostile, state: 'failed' },
    },
  ],
  '/applications': [{ name: hostile, services: 1, serving: 0, updated: 0, desired: 1, state: hostile }],
  '/networks': [named],
  '/volumes': [named],
  '/secrets': [named],
  '/configs': [named],
  '/audit': { entries: [entry], problem: hostile },
  '/administrators': [sampleAdministrator(hostile)],
};

const line = { taskId: task.id, at: hostile, stream: 'stdout', text: `\u001b[32mgreen\u001b[0m${hostile}` };

const client = {
  host: hostile,
  request: (_method: string, path: string) => Promise.resolve(answers[path.split('?')[0]!] ?? []),
  // eslint-disable-next-line typescript/require-await -- the interface is asynchronous
  stream: async function* () {
    yield line;
    yield { ...line, warning: true };
  },
} as unknown as Client;

/** An output on streams that keep what they are sent. */
function outputOf(isTTY: boolean) {
  const sent: string[] = [];
  const stream = { isTTY, columns: 80, write: (chunk: Uint8Array | string) => sent.push(String(chunk)) > 0 };
  return { output: terminalOutput({}, { stdout: stream, stderr: stream }), sent: () => sent.join('') };
}

/** What is left that a terminal obeys, our own colours aside. */
function obeyed(text: string): string[] {
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  const own = /\u001b\[(?:0|1|2|31|32|33|36)m|\u001b\[2K|\u001b\[0J|\u001b\[\d+A/g;
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  return text.replace(own, '').match(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202e]/g) ?? [];
}

async function run(line: string, isTTY: boolean): Promise<string> {
  const { output, sent } = outputOf(isTTY);
  const words = line.split(' ');
  const name = [words.slice(0, 2).join(' '), words[0]!].find((each) => Object.hasOwn(commands, each))!;
  const { command } = await commands[name]!();
  const context: Context = {
    output,
    environment: { COMPOSE_PROJECT_NAME: 'app' },
    workingDirectory: '/',
    signal: new AbortController().signal,
    client: () => Promise.resolve(client),
  };
  await command.run(context, parseArguments(command, words.slice(name.split(' ').length)));
  return sent();
}

describe.each([
  'ps',
  'ls',
  'service ls',
  'node ls',
  'network ls',
  'volume ls',
  'secret ls',
  'config ls',
  'admin ls',
  'audit',
  'logs',
])('%s', (command) => {
  test('sends a terminal nothing that it obeys', async () => {
    const text = await run(command, true);
    expect(text).toContain('abc');
    expect(obeyed(text)).toEqual([]);
  });
});

test.each(['ps', 'node ls', 'admin ls'])('%s --json sends a terminal nothing that it obeys', async (name) => {
  expect(obeyed(await run(`${name} --json`, true))).toEqual([]);
});

test('a line of a log goes to a pipe byte for byte, and to a terminal without its colours', async () => {
  expect(await run('logs --no-log-prefix', false)).toContain(`${line.text}\n`);
  const shown = await run('logs --no-log-prefix', true);
  expect(shown).toContain('green\\x1b[2J');
});

test('an error that somebody else worded sends a terminal nothing that it obeys', async () => {
  for (const error of [
    new ShoalError('not_found', hostile, { next: hostile, cause: new Error(hostile) }),
    new Error(hostile),
  ]) {
    const { output, sent } = outputOf(true);
    await report(output, error);
    expect(sent()).toContain('abc');
    expect(obeyed(sent())).toEqual([]);
  }
});

test('progress sends a terminal nothing that it obeys', () => {
  const status = {
    name: hostile,
    revision: 1,
    now: 0,
    networks: [],
    nodes: [],
    services: [
      { service: { ...service, spec: { ...service.spec, name: hostile } }, failure: hostile },
      { service, failure: undefined },
    ].map((each) => ({
      ...each,
      desired: 1,
      running: 0,
      serving: 0,
      leaving: 0,
      converged: false,
      tasks: [task],
    })),
  };
  const lines = renderProgress(status, { elapsedMs: 0, now: 0, columns: 200, frame: 0, colour: true });
  expect(obeyed(lines.join(''))).toEqual([]);
});

test('our own colours reach a terminal', () => {
  const { output, sent } = outputOf(true);
  output.note(`${paint(output, 'red', 'shoal:')} ${hostile}`);
  expect(sent()).toContain('\u001b[31mshoal:\u001b[0m');
});
