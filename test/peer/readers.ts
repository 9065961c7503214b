import { execFile } from 'node:child_process';
import { parse } from 'yaml';
import type { Diagnostic } from '../../src/compose/diagnostic.ts';
import { loadModel } from '../../src/compose/load.ts';
import { renderCanonical } from '../../src/compose/render.ts';
import { messageOf, ShoalError } from '../../src/util/errors.ts';
import type { PeerCase } from './case.ts';

/** The two programs that read a case, each with what it makes of it. */

export type Reading = { data: unknown } | { complaints: string[] };

const peerMsMax = 20_000;
const peerBytesMax = 64 * 1024 * 1024;

/** No case is read over the network, and the person's own settings are not looked at. */
const surroundings = {
  HOME: '/home/me',
  COMPOSE_EXPERIMENTAL_GIT_REMOTE: 'false',
  COMPOSE_EXPERIMENTAL_OCI_REMOTE: 'false',
};

function environmentOf({ environment }: PeerCase): Record<string, string> {
  return { ...surroundings, ...environment };
}

/** Both print YAML of which JSON leaves out parts, such as extensions below the top level. */
function dataOf(text: string): unknown {
  return parse(text, { maxAliasCount: -1 });
}

/** What `docker-compose config` prints for the files in the folder, or the last thing that it complains of. */
export function readWithDockerCompose(binary: string, one: PeerCase, folder: string): Promise<Reading> {
  const options: [string, readonly string[]][] = [
    ['-f', one.composeFiles ?? []],
    ['--env-file', one.envFiles ?? []],
    ['--profile', one.profiles ?? []],
    ['-p', one.projectName === undefined ? [] : [one.projectName]],
    ['--project-directory', one.projectDirectory === undefined ? [] : [one.projectDirectory]],
  ];
  const given = options.flatMap(([name, values]) => values.flatMap((value) => [name, value]));
  return new Promise((resolve, reject) => {
    execFile(
      binary,
      [...given, 'config', '--format', 'yaml'],
      { cwd: folder, env: environmentOf(one), timeout: peerMsMax, maxBuffer: peerBytesMax },
      (error, stdout, stderr) => {
        if (error === null) return resolve({ data: dataOf(stdout) });
        // A crash of its own is an answer too; that it cannot be started is none.
        if (typeof error.code === 'string') return reject(error);
        resolve({ complaints: [stderr.trim()] });
      },
    );
  });
}

/** What `shoal config` prints for the files in the folder, or its errors. */
export async function readWithShoal(one: PeerCase, folder: string): Promise<Reading> {
  try {
    const { canonical } = await loadModel({
      files: (one.composeFiles ?? []).map((path) => ({ path })),
      environment: environmentOf(one),
      workingDirectory: folder,
      reads: 'environment',
      ...(one.envFiles !== undefined && { envFiles: one.envFiles }),
      ...(one.profiles !== undefined && { profiles: one.profiles }),
      ...(one.projectName !== undefined && { projectName: one.projectName }),
      ...(one.projectDirectory !== undefined && { projectDirectory: one.projectDirectory }),
    });
    return { data: dataOf(renderCanonical(canonical, 'yaml')) };
  } catch (error) {
    if (!(error instanceof ShoalError) || error.code === 'internal') throw error;
    const details = (error.details ?? []) as Diagnostic[];
    const errors = details.filter(({ severity }) => severity === 'error');
    if (errors.length === 0) return { complaints: [messageOf(error)] };
    return { complaints: errors.map(({ path, message, hint }) => `${path}: ${message}; ${hint}`) };
  }
}
