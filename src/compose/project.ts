import { posix } from 'node:path';

const projectNameCharactersMax = 63;

/** What a project name must be, in words that complete "it must be …". */
export const projectNameRule =
  'at most 63 lower-case letters, digits, "_" and "-", beginning with a letter or digit';

/** Whether the text is a project name as it stands. */
export function isProjectName(text: string): boolean {
  return text.length <= projectNameCharactersMax && /^[a-z0-9][a-z0-9_-]*$/u.test(text);
}

/** The project name nearest to a text, as compose-go makes it of `name:` and of folders; may be empty. */
export function normaliseProjectName(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[^a-z0-9_-]/gu, '')
    .replace(/^[_-]+/u, '')
    .slice(0, projectNameCharactersMax);
}

/** The project name that a folder gives; may be empty. */
export function projectNameOf(directory: string): string {
  return normaliseProjectName(posix.basename(directory));
}
