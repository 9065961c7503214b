import type { Attribute } from './attribute.ts';

/** One line of the table of attributes. */
interface Row {
  path: string;
  written: string;
  verdict: string;
}

const sections: readonly (readonly [title: string, prefix: string])[] = [
  ['Top level', ''],
  ['Services', 'services.NAME.'],
  ['Networks', 'networks.NAME.'],
  ['Volumes', 'volumes.NAME.'],
  ['Secrets', 'secrets.NAME.'],
  ['Configs', 'configs.NAME.'],
];

/** The tables of docs/compose.md: every attribute of the schema at every level, with what becomes of it on a cluster. */
export function attributeTables(schema: Attribute): string {
  const rows = rowsOf(schema, '');
  const parts = sections.map(([title, prefix]) => {
    const own = rows.filter(({ path }) => sectionOf(path) === prefix);
    const lines = own.map(({ path, written, verdict }) => {
      const name = path.slice(prefix.length);
      return `| \`${name}\` | ${cell(written)} | ${cell(verdict)} |`;
    });
    return `## ${title}\n\n| Attribute | Written as | On a cluster |\n|---|---|---|\n${lines.join('\n')}\n`;
  });
  return parts.join('\n');
}

function sectionOf(path: string): string {
  const found = sections.find(([, prefix]) => prefix !== '' && path.startsWith(prefix));
  return found?.[1] ?? '';
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

function rowsOf(attribute: Attribute, prefix: string): Row[] {
  const rows: Row[] = [];
  for (const [key, child] of Object.entries(attribute.properties ?? {})) {
    const path = `${prefix}${key}`;
    rows.push({ path, written: writtenOf(child), verdict: verdictOf(child) }, ...within(child, path));
  }
  return rows;
}

/** What is below an attribute: under its keys, in its items, or under the names that it is a table of. */
function within(attribute: Attribute, path: string): Row[] {
  if (attribute.notYet !== undefined) return [];
  const rows = rowsOf(attribute, `${path}.`);
  if (attribute.items !== undefined) rows.push(...within(attribute.items, `${path}[]`));
  const { additionalProperties: entry } = attribute;
  if (typeof entry === 'object') rows.push(...within(entry, `${path}.NAME`));
  return rows;
}

function writtenOf({ says, type, notYet }: Attribute): string {
  if (notYet !== undefined) return '';
  return says ?? (typeof type === 'string' ? type : (type ?? []).join(' or '));
}

function verdictOf({ notYet, cluster }: Attribute): string {
  if (notYet !== undefined) return `**refused**: ${notYet}`;
  return cluster === undefined ? 'honoured' : `honoured: ${cluster}`;
}
