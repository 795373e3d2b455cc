import type { Span } from "./messages"

/** A patch of pg's client: a tracer, an APM agent, or a class of the application. */
export interface Instrument {
  /** Runs the work as one request. Resolves with the spans traced in it. */
  traced(work: () => Promise<unknown>): Promise<readonly Span[]>
}

type OpenTelemetryOptions = import("@opentelemetry/instrumentation-pg").PgInstrumentationConfig

/** The instruments. Each must be called before pg is loaded, because it patches pg's module on load. */
export const instruments = {
  OpenTelemetry: () => openTelemetry({}),
  "OpenTelemetry with comments": () => openTelemetry({ addSqlCommenterCommentToQueries: true }),
  "OpenTelemetry with comments and trace propagation": () =>
    openTelemetry({ addSqlCommenterCommentToQueries: true, enableTraceContextPropagation: true }),
  Datadog: () => datadog("disabled"),
  "Datadog with comments": () => datadog("full"),
  "Elastic APM": elastic,
} satisfies Record<string, () => Instrument>

export type InstrumentName = keyof typeof instruments

function openTelemetry(options: OpenTelemetryOptions): Instrument {
  const { SpanStatusCode, trace } = require("@opentelemetry/api") as typeof import("@opentelemetry/api")
  const sdk = require("@opentelemetry/sdk-trace-node") as typeof import("@opentelemetry/sdk-trace-node")
  const { PgInstrumentation } =
    require("@opentelemetry/instrumentation-pg") as typeof import("@opentelemetry/instrumentation-pg")
  const exporter = new sdk.InMemorySpanExporter()
  const provider = new sdk.NodeTracerProvider({ spanProcessors: [new sdk.SimpleSpanProcessor(exporter)] })
  provider.register()
  new PgInstrumentation(options).setTracerProvider(provider)
  return {
    async traced(work) {
      exporter.reset()
      await trace.getTracer("test").startActiveSpan("request", (span) => work().finally(() => span.end()))
      return exporter.getFinishedSpans().flatMap(({ attributes, status }) => {
        const text = attributes["db.query.text"] ?? attributes["db.statement"]
        return typeof text === "string" ? [{ text, hasFailed: status.code === SpanStatusCode.ERROR }] : []
      })
    },
  }
}

/** The part of Datadog's spans that the tests use. They are passed to this exporter instead of being sent. */
interface DatadogSpan {
  readonly name: string
  readonly resource: string
  readonly error: number
}

function datadog(dbmPropagationMode: "disabled" | "full"): Instrument {
  Object.assign(process.env, {
    DD_INSTRUMENTATION_TELEMETRY_ENABLED: "false",
    DD_REMOTE_CONFIGURATION_ENABLED: "false",
    DD_TRACE_STARTUP_LOGS: "false",
    DD_TRACE_AGENT_URL: "http://127.0.0.1:1",
    DD_CRASHTRACKING_ENABLED: "false",
  })
  const tracer = (require("dd-trace") as typeof import("dd-trace")).default.init({
    dbmPropagationMode,
  })
  const spans: DatadogSpan[] = []
  const { _tracer } = tracer as unknown as { _tracer: { _exporter: { export(spans: DatadogSpan[]): void } } }
  _tracer._exporter.export = (exported) => void spans.push(...exported)
  return {
    async traced(work) {
      spans.length = 0
      await tracer.trace("request", work)
      return spans
        .filter(({ name }) => name === "pg.query")
        .map(({ resource, error }) => ({ text: resource, hasFailed: error === 1 }))
    },
  }
}

/** The part of Elastic's spans that the tests use. */
interface ElasticSpan {
  readonly outcome: string
  readonly context: { readonly db?: { readonly statement?: string } }
}

function elastic(): Instrument {
  const spans: ElasticSpan[] = []
  const noop = () => undefined
  const transport = () => ({
    ...Object.fromEntries(
      [
        "config",
        "addMetadataFilter",
        "setExtraMetadata",
        "lambdaStart",
        "sendError",
        "sendMetricSet",
        "destroy",
      ].map((name) => [name, noop]),
    ),
    lambdaShouldRegisterTransactions: () => true,
    supportsKeepingUnsampledTransaction: () => true,
    supportsActivationMethodField: () => true,
    sendTransaction: (_: unknown, done?: () => void) => done?.(),
    sendSpan(span: ElasticSpan, done?: () => void) {
      spans.push(span)
      done?.()
    },
    flush: (...args: unknown[]) => (args.at(-1) as (() => void) | undefined)?.(),
  })
  const agent = require("elastic-apm-node") as typeof import("elastic-apm-node")
  agent.start({
    ...({ transport } as object),
    centralConfig: false,
    cloudProvider: "none",
    metricsInterval: "0s",
    captureSpanStackTraces: false,
    spanCompressionEnabled: false,
    exitSpanMinDuration: "0ms",
    transactionMaxSpans: 10_000,
    logLevel: "off",
  } as object)
  return {
    async traced(work) {
      spans.length = 0
      const transaction = agent.startTransaction("request")
      await work()
      transaction?.end()
      await agent.flush()
      return spans.flatMap(({ context, outcome }) =>
        context.db?.statement ? [{ text: context.db.statement, hasFailed: outcome === "failure" }] : [],
      )
    },
  }
}
