import { posix } from 'node:path';
import type { Diagnostics } from './diagnostic.ts';
import { readText } from './environment.ts';
import type { FileSystem } from './files.ts';
import { composeFileBytesMax, parseYaml } from './parse.ts';
import { map, type Position, type SourceFile, type TreeNode } from './tree.ts';

/** A Compose file by its path (`at`: the place that names it), or what came in from elsewhere (`-f -`). */
export type InputFile = { path: string; at?: Position } | { content: string; name?: string };

/** A file as it was read: a tree for each of its documents. */
export interface Source {
  file: SourceFile;
  trees: readonly TreeNode[];
}

const filesMax = 100;

/** Reads and parses the files in their order; what cannot be read is reported and left out. */
export async function readSources(
  inputs: readonly InputFile[],
  fileSystem: FileSystem,
  workingDirectory: string,
  diagnostics: Diagnostics,
): Promise<Source[]> {
  const sources: Source[] = [];
  if (inputs.length > filesMax) {
    diagnostics.error(undefined, [], `there are ${inputs.length} files`, `at most ${filesMax} are read`);
  }
  for (const input of inputs.slice(0, filesMax)) {
    const name = 'path' in input ? input.path : (input.name ?? '(stdin)');
    const source = { name, text: '' };
    const text =
      'path' in input
        ? await readText(
            fileSystem,
            posix.resolve(workingDirectory, input.path),
            composeFileBytesMax,
            (message) =>
              diagnostics.error(input.at ?? { file: source, offset: 0 }, [], message, hintFor(input.path)),
          )
        : input.content;
    if (text === undefined) continue;
    sources.push(await parseSource({ name, text: text.replaceAll('\r\n', '\n') }, diagnostics));
  }
  return sources;
}

/** docker compose fetches repositories of Git and artifacts of registries; what is read here is on this machine. */
function hintFor(path: string): string {
  const isElsewhere = /(?:^|\/)(?:(?:https?|ssh|git|oci):\/|git@|github\.com\/)/u.test(path);
  return isElsewhere
    ? 'nothing is fetched: fetch it first, and name the file'
    : 'name a file that can be read';
}

/** Parses one file; a document that is no map is an error, and a file without any adds nothing, with a warning. */
async function parseSource(file: SourceFile, diagnostics: Diagnostics): Promise<Source> {
  const before = diagnostics.count();
  const parsed = await parseYaml(file, diagnostics);
  const trees: TreeNode[] = [];
  for (const tree of parsed) {
    if (tree.kind === 'map') trees.push(tree);
    else if (tree.kind !== 'scalar' || tree.value !== null) {
      diagnostics.error(tree.at, [], 'this is not a Compose file', 'it must be a map with services in it');
    }
  }
  if (trees.length === 0 && diagnostics.count() === before) {
    diagnostics.warning({ file, offset: 0 }, [], 'the file is empty, and adds nothing');
    trees.push(map({ file, offset: 0 }, {}));
  }
  return { file, trees };
}

const defaultNames = ['compose.yaml', 'compose.yml', 'docker-compose.yml', 'docker-compose.yaml'];
const overrideNames = [
  'compose.override.yml',
  'compose.override.yaml',
  'docker-compose.override.yml',
  'docker-compose.override.yaml',
];

/**
 * The default file in the directory or the nearest one above that has one, with the override file beside it. Where there
 * are several the first of the names above is taken, and the others are warned of.
 */
export async function findDefaultFiles(
  fileSystem: FileSystem,
  startDirectory: string,
  workingDirectory: string,
  diagnostics: Diagnostics,
): Promise<InputFile[]> {
  for (let directory = startDirectory; ; directory = posix.dirname(directory)) {
    const file = await firstOf(defaultNames, directory);
    if (file !== undefined) {
      const override = await firstOf(overrideNames, directory);
      return override === undefined ? [file] : [file, override];
    }
    if (posix.dirname(directory) === directory) return [];
  }

  async function firstOf(names: readonly string[], directory: string): Promise<InputFile | undefined> {
    const paths = names.map((name) => posix.join(directory, name));
    const there = await Promise.all(paths.map((path) => fileSystem.exists(path)));
    const [first, ...others] = paths.filter((_, index) => there[index]);
    if (first === undefined) return undefined;
    if (others.length > 0) {
      const left = others.map((path) => posix.basename(path)).join(', ');
      diagnostics.warning(
        undefined,
        [],
        `${posix.basename(first)} is read, and ${left} beside it is not`,
        'keep one of them, or name what to read with -f',
      );
    }
    return { path: shown(first, workingDirectory) };
  }
}

/** The path as a person in the working directory would write it. */
function shown(path: string, workingDirectory: string): string {
  return posix.relative(workingDirectory, path);
}
