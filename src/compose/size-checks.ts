import { execBytes, execBytesMax, execStringBytesMax } from '../spec/exec-limits.ts';
import type { CanonicalService } from './model.ts';
import type { Speaker } from './speaker.ts';
import type { PathSegment } from './tree.ts';

type Variables = CanonicalService['environment'];

/** What one program is started with: where each part of it is written, below the service. */
interface Program {
  arguments: { at: PathSegment[]; words: readonly string[] | null | undefined }[];
  variables: { at: PathSegment[]; values: Variables }[];
}

const wayOut = 'put it into a config or a secret, and let the program read the file';

/**
 * Checks that Linux can start the programs of a service: no argument or variable over `execStringBytesMax`, and all of a
 * program within `execBytesMax`. No kernel starts what is refused here.
 */
export function checkSizes(path: readonly PathSegment[], service: CanonicalService, speaker: Speaker): void {
  for (const program of programsOf(service)) checkProgram(path, program, speaker);
}

function programsOf(service: CanonicalService): Program[] {
  const { command, entrypoint, environment, healthcheck } = service;
  const own = { at: ['environment'], values: environment };
  const hooks = (['pre_start', 'post_start', 'pre_stop'] as const).flatMap((kind) =>
    (service[kind] ?? []).map((hook, index): Program => ({
      arguments: [{ at: [kind, index, 'command'], words: hook.command }],
      variables: [{ at: [kind, index, 'environment'], values: hook.environment }],
    })),
  );
  return [
    {
      arguments: [
        { at: ['entrypoint'], words: entrypoint },
        { at: ['command'], words: command },
      ],
      variables: [own],
    },
    { arguments: [{ at: ['healthcheck', 'test'], words: healthcheck?.test }], variables: [] },
    ...hooks,
  ];
}

function checkProgram(path: readonly PathSegment[], program: Program, { complain }: Speaker): void {
  const strings: string[] = [];
  let isRight = true;
  const check = (at: readonly PathSegment[], what: string, text: string) => {
    // What is not a text has been complained of.
    if (typeof text !== 'string') return;
    strings.push(text);
    const bytes = Buffer.byteLength(text);
    if (bytes <= execStringBytesMax) return;
    isRight = false;
    complain(
      [...path, ...at],
      `${what} has ${inWords(bytes)}, and Linux takes at most ${inWords(execStringBytesMax)}`,
      wayOut,
    );
  };
  for (const { at, words } of program.arguments) {
    if (!Array.isArray(words)) continue;
    for (const [index, word] of (words as string[]).entries()) check([...at, index], 'the argument', word);
  }
  for (const { at, values } of program.variables) {
    for (const [name, value] of Object.entries(values ?? {})) {
      if (typeof value === 'string')
        check([...at, name], `the variable ${name} with its name`, `${name}=${value}`);
    }
  }
  const bytes = execBytes(strings);
  if (!isRight || bytes <= execBytesMax) return;
  const where = program.variables.find(({ values }) => Object.keys(values ?? {}).length > 0);
  complain(
    [...path, ...(where ?? program.arguments[0]!).at],
    `arguments and environment have ${inWords(bytes)} together, and Linux takes at most ${inWords(execBytesMax)}`,
    wayOut,
  );
}

function inWords(bytes: number): string {
  return `${bytes.toLocaleString('en')} bytes`;
}
