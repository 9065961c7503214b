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

/** `refusedBy`: what of those around an attribute is refused, and it with that. */
function rowsOf(attribute: Attribute, prefix: string, refusedBy?: string): Row[] {
  const rows: Row[] = [];
  for (const [key, child] of Object.entries(attribute.properties ?? {})) {
    const path = `${prefix}${key}`;
    const verdict = refusedBy === undefined ? verdictOf(child) : `refused with \`${refusedBy}\``;
    rows.push({ path, written: writtenOf(child), verdict });
    rows.push(...within(child, path, refusedBy ?? (child.refused === undefined ? undefined : key)));
  }
  return rows;
}

/** What is below an attribute: under its keys, in its items, or under the names that it is a table of. */
function within(attribute: Attribute, path: string, refusedBy: string | undefined): Row[] {
  const rows = rowsOf(attribute, `${path}.`, refusedBy);
  if (attribute.items !== undefined) rows.push(...within(attribute.items, `${path}[]`, refusedBy));
  const { additionalProperties: entry } = attribute;
  if (typeof entry === 'object') rows.push(...within(entry, `${path}.NAME`, refusedBy));
  return rows;
}

function writtenOf({ says, type }: Attribute): string {
  return says ?? (typeof type === 'string' ? type : (type ?? []).join(' or '));
}

function verdictOf(attribute: Attribute): string {
  const { refused, warns, cluster } = attribute;
  if (refused !== undefined) return `**refused**: ${refused}`;
  if (warns !== undefined) return `taken, with a warning: ${warns.join('; ')}`;
  const honoured = cluster === undefined ? 'honoured' : `honoured: ${cluster}`;
  const part = partOf(attribute);
  return part === undefined ? honoured : `${honoured}; **refused** unless it is ${part}`;
}

/** What of an attribute is run, where that is not all. */
function partOf({ runs, runsNames, items, additionalProperties: entry }: Attribute): string | undefined {
  const below = items ?? (typeof entry === 'object' ? entry : undefined);
  return (runs ?? runsNames)?.says ?? below?.runs?.says;
}
