// The verdicts of the npm package sns-validator on the vectors: {name: "accept" or the text of its error}.
//
// It fetches certificates by https.get, so that is replaced: it answers with the certificate of the case. It keeps
// certificates by URL for its process, so each case is judged by a fresh copy of the module. It has no clock, no topics,
// no Regions and no settings.
"use strict";

const { EventEmitter } = require("events");
const fs = require("fs");
const https = require("https");
const path = require("path");

const vectors = JSON.parse(fs.readFileSync(path.join(__dirname, "..", "messages.json")));

function judge(vector) {
  delete require.cache[require.resolve("sns-validator")];
  const Validator = require("sns-validator");
  https.get = (_url, answer) => {
    const request = new EventEmitter();
    const response = new EventEmitter();
    if (vector.certificate === null) {
      setImmediate(() => request.emit("error", new Error("no answer")));
    } else {
      response.statusCode = 200;
      setImmediate(() => {
        answer(response);
        response.emit("data", Buffer.from(vectors.certificates[vector.certificate]));
        response.emit("end");
      });
    }
    return request;
  };
  return new Promise((done) => {
    try {
      new Validator().validate(vector.body, (error) => done(error ? error.message : "accept"));
    } catch (error) {
      done(`throws: ${error.message}`);
    }
  });
}

(async () => {
  const verdicts = {};
  for (const vector of vectors.cases) {
    verdicts[vector.name] = await judge(vector);
  }
  process.stdout.write(JSON.stringify(verdicts));
})();
