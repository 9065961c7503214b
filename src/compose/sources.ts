import { posix } from 'node:path';
import type { Diagnostics } from './diagnostic.ts';
import { readText } from './environment.ts';
import type { FileSystem } from './files.ts';
import { composeFileBytesMax, parseYaml } from './parse.ts';
import type { Position, SourceFile, TreeNode } from './tree.ts';

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
              diagnostics.error(
                input.at ?? { file: source, offset: 0 },
                [],
                message,
                'name a file that can be read',
              ),
          )
        : input.content;
    if (text === undefined) continue;
    sources.push(await parseSource({ name, text: text.replaceAll('\r\n', '\n') }, diagnostics));
  }
  return sources;
}

/** Parses one file; an empty one, or a document that is no map, is an error. */
async function parseSource(file: SourceFile, diagnostics: Diagnostics): Promise<Source> {
  const before = diagnostics.list.length;
  const parsed = await parseYaml(file, diagnostics);
  const trees: TreeNode[] = [];
  for (const tree of parsed) {
    if (tree.kind === 'map') trees.push(tree);
    else if (tree.kind !== 'scalar' || tree.value !== null) {
      diagnostics.error(tree.at, [], 'this is not a Compose file', 'it must be a map with services in it');
    }
  }
  if (trees.length === 0 && diagnostics.list.length === before) {
    diagnostics.error({ file, offset: 0 }, [], 'the file is empty', 'it must be a map with services in it');
  }
  return { file, trees };
}

const defaultNames = ['compose.yaml', 'compose.yml', 'docker-compose.yml', 'docker-compose.yaml'];
const overrideNames: Record<string, readonly string[]> = {
  compose: ['compose.override.yml', 'compose.override.yaml'],
  'docker-compose': ['docker-compose.override.yml', 'docker-compose.override.yaml'],
};

/** The default file in the directory or the nearest one above that has one, with the override file beside it. */
export async function findDefaultFiles(
  fileSystem: FileSystem,
  startDirectory: string,
  workingDirectory: string,
): Promise<InputFile[]> {
  let directory = posix.resolve(workingDirectory, startDirectory);
  for (;;) {
    for (const name of defaultNames) {
      const path = posix.join(directory, name);
      if (!(await fileSystem.exists(path))) continue;
      const files = [shown(path, workingDirectory)];
      for (const override of overrideNames[name.replace(/\.ya?ml$/u, '')] ?? []) {
        const overridePath = posix.join(directory, override);
        if (!(await fileSystem.exists(overridePath))) continue;
        files.push(shown(overridePath, workingDirectory));
        break;
      }
      return files.map((file) => ({ path: file }));
    }
    const parent = posix.dirname(directory);
    if (parent === directory) return [];
    directory = parent;
  }
}

/** The path as a person in the working directory would write it. */
function shown(path: string, workingDirectory: string): string {
  return posix.relative(workingDirectory, path);
}
