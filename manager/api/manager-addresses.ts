import { isManager } from '../../src/spec/manager-state.ts';
import type { View } from '../store/objects.ts';
import { hostOf } from '../leading/candidate.ts';
import { plainAddress } from '../ca/addresses.ts';

/** The addresses of the hosts that managers run on. */
export class ManagerAddresses {
  readonly #view: View;
  #addresses = new Set<string>();

  constructor(view: View) {
    this.#view = view;
    this.renew();
  }

  /** To be called when nodes have changed. */
  renew(): void {
    const managers = [...this.#view.nodes.values()].filter(isManager);
    this.#addresses = new Set(
      managers.flatMap(({ description, approvedAddress, manager }) =>
        [description?.address, approvedAddress, manager && hostOf(manager.address)].filter(
          (address) => address !== undefined,
        ),
      ),
    );
  }

  has(address: string): boolean {
    return this.#addresses.has(plainAddress(address));
  }
}
