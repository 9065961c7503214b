import type { Diagnostics } from './diagnostic.ts';
import { placeOf, type PathSegment, type TreeNode } from './tree.ts';

type Speak = (path: readonly PathSegment[], message: string, hint?: string) => void;

/** How checks of the canonical model speak: of what is wrong as Compose goes, and of what is only wrong on a cluster. */
export interface Speaker {
  /** The file is wrong. */
  complain: Speak;
  /** The file is right, but Shoal does not run it. */
  refuse: Speak;
  /** Something that was asked for does not happen. */
  warn: Speak;
  /** Whether so much is wrong that nothing more would be kept. */
  isFull: () => boolean;
}

/** Speaks to `diagnostics`, with places from `tree`. What would not be kept costs nothing: no place is looked for. */
export function speakerOf(tree: TreeNode, diagnostics: Diagnostics): Speaker {
  const say =
    (how: 'error' | 'refusal' | 'warning'): Speak =>
    (path, message, hint) => {
      if (!diagnostics.isFullOf(how)) diagnostics[how](placeOf(tree, path), path, message, hint);
    };
  return {
    complain: say('error'),
    refuse: say('refusal'),
    warn: say('warning'),
    isFull: () => diagnostics.isFull(),
  };
}
