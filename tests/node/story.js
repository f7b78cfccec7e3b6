"use strict";

// Uses the service from Node, and prints what it saw as one JSON object for test_node_client.py:
//   node story.js ADDRESS NAMESPACE
// It judges nothing by itself; anything unexpected ends it with a stack trace and exit code 1.

const { Client, errorInfo, grpc } = require("./client");

const CHANNEL = "general";
const PAGE_SIZE = 2;

function post(requestId, text) {
  return {
    request_id: requestId,
    channel_id: CHANNEL,
    sender_id: "ada",
    body: { data: Buffer.from(text), content_type: "text/plain" },
  };
}

async function postUnary(client) {
  const first = await client.call(client.messages, "PostMessage", post("node-1", "one"));
  const again = await client.call(client.messages, "PostMessage", post("node-1", "one"));
  return { first, again };
}

/** Sends one frame of two good commands with a bad one between them, and takes its answer. */
async function postOnPipeline(client) {
  const stream = client.pipeline();
  stream.write({
    commands: [
      { post_message: post("node-2", "two") },
      { post_message: { ...post("node-bad", "lost"), channel_id: "nowhere" } },
      { post_message: post("node-3", "three") },
    ],
  });
  stream.end();
  const frames = [];
  for await (const response of stream) frames.push(response.results);
  return frames;
}

async function page(client) {
  const pages = [];
  let token = "";
  do {
    const request = { channel_id: CHANNEL, page_size: PAGE_SIZE, page_token: token };
    const response = await client.call(client.messages, "ListMessages", request);
    pages.push(
      response.messages.map(({ sequence, body }) => ({ sequence, text: body.data.toString() })),
    );
    token = response.next_page_token;
  } while (token);
  return pages;
}

function summary(entry) {
  const sequences = entry.events.map((event) => event.message_posted.sequence);
  return { position: entry.position, sequences };
}

/** Watches from the start; once it has caught up, posts, and waits for that message to come. */
async function watch(client) {
  const stream = client.watch({
    from_start: true,
    filter: { channel_ids: [CHANNEL], event_types: ["message_posted"] },
  });
  const seen = [];
  try {
    for await (const response of stream) {
      if (response.content === "caught_up") {
        seen.push("caught up");
        await client.call(client.messages, "PostMessage", post("node-4", "four"));
      } else if (response.content === "entries") {
        seen.push(...response.entries.entries.map(summary));
        if (response.entries.entries.at(-1).request_id === "node-4") return seen;
      }
    }
  } finally {
    stream.on("error", () => {}); // what a call says that is cancelled
    stream.cancel();
  }
  throw new Error("the watch ended before the live event came");
}

async function refusal(client, request) {
  try {
    await client.call(client.messages, "PostMessage", request);
  } catch (error) {
    return { status: grpc.status[error.code], message: error.details, info: errorInfo(error) };
  }
  throw new Error("the service took what it should have refused");
}

async function main(address, namespace) {
  const client = new Client(address, namespace);
  const seen = {};
  try {
    const create = { request_id: "node-0", channel_id: CHANNEL };
    seen.created = await client.call(client.channels, "CreateChannel", create);
    seen.unary = await postUnary(client);
    seen.pipeline = await postOnPipeline(client);
    seen.pages = await page(client);
    seen.watch = await watch(client);
    seen.unknown_channel = await refusal(client, {
      ...post("node-5", "lost"),
      channel_id: "nowhere",
    });
    seen.reused_request_id = await refusal(client, post("node-1", "something else"));
  } finally {
    client.close();
  }
  process.stdout.write(JSON.stringify(seen));
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
