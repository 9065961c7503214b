import type { Attribute } from './attribute.ts';
import type { Diagnostics } from './diagnostic.ts';
import { describeNode } from './forms.ts';
import { isNamedRightly, isRight } from './quick-check.ts';
import { locate, placeOf, type PathSegment, type Plain, type TreeNode } from './tree.ts';

/**
 * Tells what of a model that is right as Compose goes is not run by Shoal: attributes that are `refused`, values beyond what
 * it `runs`, and what it `warns` of. What asks for nothing (`false`, an empty list, an empty map, nothing) is not
 * refused. Reports with places from `tree`.
 */
export function tellVerdicts(
  model: Plain,
  schema: Attribute,
  tree: TreeNode,
  diagnostics: Diagnostics,
): void {
  new Judge(tree, diagnostics).judge(model, schema);
}

/** What is looked at below an attribute: only where there is a verdict. */
interface Below {
  properties: ReadonlyMap<string, Attribute>;
  entry: Attribute | undefined;
  items: Attribute | undefined;
}

const known = new WeakMap<Attribute, Below>();

function belowOf(attribute: Attribute): Below {
  const before = known.get(attribute);
  if (before !== undefined) return before;
  const { properties = {}, items, additionalProperties: entry } = attribute;
  const judged = new Map<string, Attribute>();
  for (const key in properties) if (hasVerdict(properties[key]!)) judged.set(key, properties[key]!);
  const below: Below = {
    properties: judged,
    entry: typeof entry === 'object' && hasVerdict(entry) ? entry : undefined,
    items: items !== undefined && hasVerdict(items) ? items : undefined,
  };
  known.set(attribute, below);
  return below;
}

function hasVerdict(attribute: Attribute): boolean {
  const { refused, runs, runsNames, warns } = attribute;
  if ((refused ?? runs ?? runsNames ?? warns) !== undefined) return true;
  const { properties, entry, items } = belowOf(attribute);
  return properties.size > 0 || entry !== undefined || items !== undefined;
}

function asksForNothing(value: Plain): boolean {
  if (value === null || value === false) return true;
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === 'object' && Object.values(value).every(asksForNothing);
}

/** Whether the attribute has the key by name, and does not take it for one of its entries. */
function isNamed({ properties }: Attribute, key: string): boolean {
  return properties !== undefined && Object.hasOwn(properties, key);
}

class Judge {
  private readonly tree: TreeNode;
  private readonly diagnostics: Diagnostics;
  private readonly path: PathSegment[] = [];

  constructor(tree: TreeNode, diagnostics: Diagnostics) {
    this.tree = tree;
    this.diagnostics = diagnostics;
  }

  judge(value: Plain, attribute: Attribute): void {
    const { refused, runs, warns } = attribute;
    if (refused !== undefined || warns !== undefined) {
      if (asksForNothing(value)) return;
      if (warns !== undefined) this.diagnostics.warning(this.keyPlace(), this.path, ...warns);
    }
    if (refused !== undefined) {
      this.diagnostics.refusal(this.keyPlace(), this.path, 'not supported yet', refused);
      return;
    }
    if (runs !== undefined && value !== null && !isRight(value, runs)) {
      const place = placeOf(this.tree, this.path);
      const node = locate(this.tree, this.path).node;
      this.diagnostics.refusal(
        place,
        this.path,
        `${describeNode(node)} cannot be used here`,
        `it must be ${runs.says}`,
      );
      return;
    }
    if (value === null || typeof value !== 'object') return;
    if (Array.isArray(value)) this.judgeItems(value, attribute);
    else this.judgeEntries(value, attribute);
  }

  private judgeItems(list: readonly Plain[], attribute: Attribute): void {
    const { items } = belowOf(attribute);
    if (items === undefined) return;
    list.forEach((item, index) => this.judgeAt(index, item, items));
  }

  private judgeEntries(table: Record<string, Plain>, attribute: Attribute): void {
    const { runsNames } = attribute;
    const { properties, entry } = belowOf(attribute);
    for (const key in table) {
      if (runsNames !== undefined && !isNamedRightly(key, runsNames)) this.refuseName(key, runsNames.says);
      const child =
        properties.get(key) ?? (entry === undefined || isNamed(attribute, key) ? undefined : entry);
      if (child !== undefined) this.judgeAt(key, table[key]!, child);
    }
  }

  private judgeAt(segment: PathSegment, value: Plain, attribute: Attribute): void {
    this.path.push(segment);
    this.judge(value, attribute);
    this.path.pop();
  }

  private refuseName(key: string, says: string): void {
    this.path.push(key);
    const message = `${JSON.stringify(key)} cannot be used as a name here`;
    this.diagnostics.refusal(this.keyPlace(), this.path, message, `it must be ${says}`);
    this.path.pop();
  }

  private keyPlace() {
    const { node, keyAt } = locate(this.tree, this.path);
    return keyAt ?? node.at;
  }
}
