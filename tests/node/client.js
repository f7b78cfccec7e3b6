"use strict";

// A client of the gapless service made of its proto files alone: no generated code, no SDK.

const path = require("node:path");
const grpc = require("@grpc/grpc-js");
const protoLoader = require("@grpc/proto-loader");

const SERVICE_PROTOS = path.join(__dirname, "..", "..", "protos");
const OWN_PROTOS = path.join(__dirname, "protos");
const CALL_SECONDS_MAX = 10;

const definition = protoLoader.loadSync(
  [
    "gapless/v1/channels.proto",
    "gapless/v1/commands.proto",
    "gapless/v1/events.proto",
    "gapless/v1/messages.proto",
    "error_details.proto",
  ],
  {
    includeDirs: [SERVICE_PROTOS, OWN_PROTOS],
    keepCase: true,
    // Sequences and positions go up to 2^63-1, which a number of JavaScript cannot hold.
    longs: String,
    defaults: true,
    oneofs: true,
  },
);
const { gapless } = grpc.loadPackageDefinition(definition);
const Status = definition["google.rpc.Status"];
const ErrorInfo = definition["google.rpc.ErrorInfo"];

const ERROR_INFO_TYPE = "type.googleapis.com/google.rpc.ErrorInfo";
const DETAILS_KEY = "grpc-status-details-bin";

/** Returns the ErrorInfo of a refused call, or undefined if the service sent none. */
function errorInfo(error) {
  const [details] = error.metadata.get(DETAILS_KEY);
  if (details === undefined) return undefined;
  const found = Status.deserialize(details).details.find(
    (detail) => detail.type_url === ERROR_INFO_TYPE,
  );
  return found && ErrorInfo.deserialize(found.value);
}

function deadline() {
  return { deadline: Date.now() + CALL_SECONDS_MAX * 1000 };
}

/** Calls the services of one server, all in one namespace. */
class Client {
  constructor(address, namespace) {
    const credentials = grpc.credentials.createInsecure();
    const services = gapless.v1;
    this.channels = new services.ChannelService(address, credentials);
    this.messages = new services.MessageService(address, credentials);
    this.commands = new services.CommandService(address, credentials);
    this.events = new services.EventService(address, credentials);
    this.metadata = new grpc.Metadata();
    this.metadata.set("gapless-namespace", namespace);
  }

  /** Calls a unary method and resolves to its response. */
  call(service, method, request) {
    return new Promise((resolve, reject) => {
      service[method](request, this.metadata, deadline(), (error, response) =>
        error ? reject(error) : resolve(response),
      );
    });
  }

  /** Opens the stream that takes frames of commands and answers each with its results. */
  pipeline() {
    return this.commands.Pipeline(this.metadata, deadline());
  }

  /** Opens a stream of the log. */
  watch(request) {
    return this.events.Watch(request, this.metadata, deadline());
  }

  close() {
    for (const service of [this.channels, this.messages, this.commands, this.events]) {
      service.close();
    }
  }
}

module.exports = { Client, errorInfo, grpc };
