import type { NetworkSpec } from './network.ts';
import type { ProjectOrigin } from './project-origin.ts';
import type { FileSpec, VolumeSpec } from './resource.ts';
import type { ServiceSpec } from './service.ts';

/** Full names of what is not the application's own, and must be there when it is applied. */
export interface ExternalNames {
  networks: string[];
  volumes: string[];
  /** Of another application's secrets and configs the names without the version of their content. */
  secrets: string[];
  configs: string[];
}

/** A whole application as one wish: applied in one transaction, and all of it or nothing. */
export interface ApplicationSpec {
  name: string;
  services: ServiceSpec[];
  networks: NetworkSpec[];
  volumes: VolumeSpec[];
  secrets: FileSpec[];
  configs: FileSpec[];
  /** Absent: it is not told, and not compared with where the application was brought up from before. */
  origin?: ProjectOrigin;
  /** Full names of the services that keep the number of replicas that they have, if they are there. Absent: none. */
  keepsScale?: string[];
  /** Absent: there is nothing. */
  external?: ExternalNames;
}
