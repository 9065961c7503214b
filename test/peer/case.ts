import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** One application as it lies in a folder, to be read by both programs. */
export interface PeerCase {
  name: string;
  /** By path in the folder. */
  files: Readonly<Record<string, string>>;
  /** A folder that is there already, instead of files. */
  folder?: string;
  /** Given with `-f`; none: those that are found. */
  composeFiles?: readonly string[];
  envFiles?: readonly string[];
  profiles?: readonly string[];
  projectName?: string;
  projectDirectory?: string;
  environment?: Readonly<Record<string, string>>;
}

/** A case of one file with no more to say. */
export function caseOf(name: string, text: string, more: Partial<PeerCase> = {}): PeerCase {
  const { files, ...others } = more;
  return { name, files: { 'compose.yaml': text, ...files }, ...others };
}

/** A service `web` with these attributes. */
export function serviceOf(attributes: string): string {
  return `services: { web: { image: nginx, ${attributes} } }\n`;
}

/**
 * The lines of a file in `cases/` by the headings `== NAME` that they are under. In a line `⏎` is a line break, `<U+0007>` a
 * character that cannot be seen, and `<empty>` nothing.
 */
export function readLines(file: string): Map<string, string[]> {
  const sections = new Map<string, string[]>();
  let lines: string[] = [];
  for (const line of readFileSync(join(import.meta.dirname, 'cases', file), 'utf8').split('\n')) {
    if (line.startsWith('== ')) sections.set(line.slice(3), (lines = []));
    else if (line !== '') lines.push(decoded(line));
  }
  return sections;
}

/** The lines under one heading. */
export function linesOf(file: string, heading: string): string[] {
  const lines = readLines(file).get(heading);
  if (lines === undefined) throw new Error(`Cannot read ${file}: it has no heading ${heading}`);
  return lines;
}

function decoded(line: string): string {
  return line
    .replaceAll('<empty>', '')
    .replaceAll('⏎', '\n')
    .replaceAll(/<U\+([0-9A-F]{4})>/gu, (_, code: string) => String.fromCodePoint(Number.parseInt(code, 16)));
}
