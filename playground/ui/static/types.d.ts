// The values that the modules hand to each other, for the type checker alone: no browser reads this.

interface Question {
  role: 'user';
  content: string;
  after?: number | null; // in a list that is a tree: lib/tree.js
}

interface Answer {
  role: 'assistant';
  content: string; // the whole raw text
  state: 'streaming' | 'done' | 'stopped' | 'failed';
  blocks: string[]; // HTML of its first `shown` characters
  shown?: number;
  preset?: PresetReference | null;
  edited?: boolean;
  receipt?: Receipt | null;
  done?: Done | null;
  problem?: Problem | null;
  letter?: string; // of a blind round that was revealed
  chosen?: boolean;
  seals?: string[]; // of a blind round that is open
  column?: number;
  notices?: string[]; // what was to be known while it went on
  emulation?: Emulation | null; // what it took of one that did not end by itself
  prefilled?: number; // characters of its beginning that the reader wrote
  rewritten?: boolean; // the reader changed its text
  after?: number | null;
}

// A message as a pane shows it.
type Message = Question | Answer;

// A conversation with all of its versions: lib/tree.js.
interface Branches {
  messages: Message[];
  shown?: number;
}

interface Problem {
  message: string;
  kind?: string;
  retryable?: boolean;
}

type Support = { how: 'native' | 'emulated' | 'unsupported'; reason: string };

// What the test of the samplers found about a parameter.
interface Finding {
  parameter: string;
  verdict: 'proven' | 'weaker' | 'none' | 'unclear';
  evidence: string; // in sentences
}

// And about an engine: engine/proof.js.
interface Proof {
  engine: string;
  of: string;
  made: number;
  alone: boolean;
  seeds_repeat: boolean;
  findings: Finding[];
}

interface PromptFormat {
  id: string;
  label: string;
  bos: string;
  stop: string[];
  default_system?: string; // older receipts have none
}

interface Receipt {
  engine: string;
  engine_id?: string;
  model_id: string;
  model_sha?: string | null;
  quantisation?: string;
  preset?: string | null;
  edited?: string[];
  edits?: Record<string, { from: number | null; to: number | null }>;
  sent: Record<string, any>;
  left_out?: Record<string, string>;
  applied: Record<string, Support>;
  prompt?: string;
  prompt_sha256?: string;
  prompt_format?: PromptFormat; // older receipts have none: TuluV2
  prompt_tokens: number;
  dropped_turns: number;
  system?: string;
  continued?: number;
  note?: string;
  emulate?: boolean; // older receipts have neither
  emulated?: Sampler;
  asked?: Sampler | null; // what was set
  max_new_tokens?: number | null; // of the whole answer
}

interface Emulation {
  parameters: string[];
  restarts: number;
  proposed: number;
  accepted: number;
  bound: number;
  reread: number;
  added_ms: number;
  given_up_at: number | null;
}

interface Done {
  finish_reason: string;
  generated_tokens: number;
  input_tokens: number;
  ttft_ms: number | null;
  duration_ms: number;
  tokens_per_second: number | null;
  seed: number | null;
  emulation?: Emulation | null;
}

// Of an answer that did not end by itself.
type Figures = Pick<Done, 'generated_tokens' | 'duration_ms' | 'tokens_per_second'> & { ttft_ms: number };

// The events of a stream, by name. `sealed` is what a blind round must not show.
interface StreamEvents {
  waiting: { pane: number; place: number };
  delta: { pane: number; text: string };
  block: { pane: number; index: number; html: string };
  notice: { pane: number; text: string };
  receipt: Receipt & { pane: number; sealed?: string };
  done: Done & { pane: number; sealed?: string };
  error: { pane: number; sealed?: string; kind: string; message: string; retryable: boolean; emulation?: Emulation; figures?: Figures };
}
type StreamEvent = { [Name in keyof StreamEvents]: { name: Name; data: StreamEvents[Name] } }[keyof StreamEvents];
// 'rendered': of an answer whose rest was rendered after its end.
type EventName = keyof StreamEvents | 'rendered';

type Sampler = Record<string, number>;

interface Parameter {
  name: string;
  minimum: number;
  maximum: number;
  step: number;
  smallest: number;
  neutral: number;
  integer: boolean;
}

interface Preset {
  id: string;
  kind: 'server' | 'none' | 'own';
  name: string;
  description?: string; // an own preset has none
  source: string;
  sampler: Sampler;
  max_new_tokens: number | null;
  default?: boolean;
}

// What a request says of a preset: the id of one of the server's, or an own one itself.
type PresetReference = string | { name: string; sampler: Sampler; max_new_tokens: number | null };

type Edits = Record<string, string>; // texts, by parameter

// A setting as it is edited.
interface EditedSetting {
  preset: string;
  edits: Edits;
  limit: string;
  seed: string;
  engine?: string; // an id, or '' for the default; of earlier versions there is none
  emulate?: boolean; // earlier versions did not say it
}

// A setting with all of its values.
interface Setting {
  preset: string | null;
  name: string;
  sampler: Sampler;
  max_new_tokens: number | null;
  seed: number | null;
  stop: string[];
  system: string;
  engine: string | null;
  emulate: boolean;
}

interface RequestPane {
  preset?: PresetReference | null;
  sampler?: Sampler;
  max_new_tokens?: number | null;
  seed?: number | null;
  stop?: string[];
  engine?: string | null;
  emulate?: boolean;
  messages?: SentMessage[];
}

interface SentMessage {
  role: 'system' | 'user' | 'assistant';
  content: string;
}

interface StreamRequest {
  messages?: SentMessage[];
  panes: RequestPane[];
  blind?: boolean;
  new_seed?: boolean; // of a demo
}

// One conversation or comparison as data.
interface Conversation {
  format: string;
  version: number;
  kind: 'chat' | 'comparison';
  title: string;
  columns: ({ label: string; setting: Setting } & Branches)[];
}

// An entry of the archive, the dates in milliseconds.
interface ArchiveEntry {
  id: string;
  version: number;
  revision: number;
  created: number;
  updated: number;
  renamed: boolean;
  record: Conversation;
  problem?: string;
}

// What an entry was when it was read or written last.
interface Handle {
  id?: string;
  revision?: number;
  turns?: number;
  mark?: string;
}

interface ModelLabel {
  title: string;
  badge: string;
  score: string;
  is_default: boolean; // whether it is the one that the playground was made for
}

interface Progress {
  what: string;
  done: number;
  total: number | null;
  rate: number;
  left_s: number | null;
}

interface Engine {
  kind: string;
  name: string;
  label: ModelLabel;
  quantisation: string;
  prompt_format: string;
  system_role: boolean;
  default_system: string;
  seeds: { repeat: 'always' | 'alone' | 'never'; condition: string };
  slots: number | null;
  model_id: string;
  model_sha: string | null;
  max_input_tokens: number;
  max_total_tokens: number;
  max_stop_sequences: number;
}

interface EngineState {
  state: 'unknown' | 'ready' | 'loading' | 'offline';
  reason: string;
  progress?: Progress | null;
  engine: Engine | null;
  applied: Record<string, Support>;
  raw: unknown;
  elapsed_s?: number;
  refused?: 'login' | 'other_login';
}

// One of the engines that a column or the chat can choose.
interface ListedEngine {
  id: string;
  name: string;
  state: 'unknown' | 'ready' | 'loading' | 'offline';
  unsupported: string[]; // parameters
  emulated: string[]; // likewise
  seeds_repeat: Engine['seeds']['repeat'] | null; // null while it is not known
}

interface Vote {
  at: string;
  prompt: string;
  model: string | null;
  settings: { name: string; preset: string; sampler: Sampler | null }[];
  outcome: 'best' | 'tie' | 'bad';
  best: number | null;
}

interface NoticeOptions {
  undo?: () => void;
  more?: Node;
  lines?: string[];
  stay?: boolean;
}
