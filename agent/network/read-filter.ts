/** What `nft list table` says of our tables, taken apart: rules, and the elements of each set. Pure. */
import { kindOf, setNames, type SetName } from './rules.ts';
import { difference, type Elements } from './state.ts';

export interface FoundTables {
  /** Everything but elements. */
  rules: string;
  elements: Elements;
}

const ownSets = new Set<string>(setNames);
const elementsPattern = /^\t\telements = \{([^}]*)\}\n/mu;

/** Takes apart the text of both tables, one after the other. */
export function parseTables(text: string): FoundTables {
  const elements: Elements = new Map();
  // A set or map ends at the first line that closes at its depth.
  const rules = text.replaceAll(/^\t(?:set|map) (\w+) \{\n[\s\S]*?^\t\}\n/gmu, (block, name: string) => {
    const listed = elementsPattern.exec(block)?.[1] ?? '';
    if (ownSets.has(name)) elements.set(name as SetName, parseElements(name as SetName, listed));
    return block.replace(elementsPattern, '');
  });
  return { rules, elements };
}

function parseElements(name: SetName, listed: string): Map<string, string> {
  const isMap = kindOf(name) === 'map';
  const found = new Map<string, string>();
  for (const part of listed.split(',')) {
    const element = part.trim();
    if (element === '') continue;
    // Between colons of MAC addresses there is no space.
    const at = isMap ? element.indexOf(' : ') : -1;
    if (at === -1) found.set(canonical(element), '');
    else found.set(canonical(element.slice(0, at)), canonical(element.slice(at + 3)));
  }
  return found;
}

const protocolNumbers: Record<string, string> = { tcp: '6', udp: '17', sctp: '132' };

/** One text for what may be written in several ways: numbers of protocols with and without /etc/protocols, and of marks. */
function canonical(text: string): string {
  return text
    .split(' ')
    .map((word) => protocolNumbers[word] ?? (/^0x[0-9a-f]+$/u.test(word) ? String(Number(word)) : word))
    .join(' ');
}

/** What is missing or too many, one line for each set; `values: false` compares numbers of elements only. */
export function tableDifferences(found: Elements, wanted: Elements, values: boolean): string[] {
  return [...wanted].flatMap(([name, elements]) => {
    const there = found.get(name);
    if (!there) return [`${kindOf(name)} ${name} is gone`];
    if (!values) return there.size === elements.size ? [] : [`${kindOf(name)} ${name} has other elements`];
    const asRead = new Map([...elements].map(([key, value]) => [canonical(key), canonical(value)]));
    const { add, remove } = difference(there, asRead);
    if (add.length === 0 && remove.length === 0) return [];
    const [first] = add[0] ?? remove[0]!;
    return [`${kindOf(name)} ${name} lacks ${add.length} and has ${remove.length} others, first ${first}`];
  });
}
