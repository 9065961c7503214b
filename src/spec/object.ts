/** What every stored object carries. Times are milliseconds since the Unix epoch. */
export interface ObjectMeta {
  /** 12 lower-case letters and digits; unique in the cluster for ever. */
  id: string;
  createdAt: number;
  updatedAt: number;
  /** The store's global revision at which the object was last written. The store fills it in on reading. */
  revision: number;
}

export type Labels = Record<string, string>;
