import { describeStore } from './contract.ts';
import { createMemoryStore } from './memory.ts';

describeStore('memory', async () => {
  const store = createMemoryStore({ batchesMax: 1_000, charactersMax: 16 * 1024 * 1024 });
  const compact = async () => {
    // More batches than are kept.
    for (let index = 0; index <= 1_000; index++) {
      await store.transact({ compares: [], puts: [{ key: 'task/filler', value: '' }], deletes: [] });
    }
  };
  return { store, compact, dispose: () => store.close() };
});
