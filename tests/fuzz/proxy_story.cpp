#include "proxy_story.hpp"

#include "must.hpp"

#include <array>
#include <cstdio>
#include <utility>

namespace drover::fuzz {

namespace {

constexpr std::size_t kMostClients = 6;
constexpr std::size_t kMostRequests = 5;

/// '@' stands for the path. Each must be refused before a worker hears of it.
constexpr std::array kBrokenHeads{
    "POST @ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST @ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "POST @ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
    "POST @ HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 6\r\n\r\n",
    "POST @ HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello",
    "POST @ HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\nhello",
    "POST @ HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551621\r\n\r\nhello",
    "POST @ HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nhello",
    "POST @ HTTP/1.1\r\nHost: x\r\nContent-Length: \r\n\r\nhello",
    "POST @ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "POST @ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "POST @ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST @ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "POST @ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n",
    "POST @ HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET @ HTTP/1.1\nHost: x\n\n",
    "GET @ HTTP/1.1\r\nHost: x\r\nX: a\nTransfer-Encoding: chunked\r\n\r\n",
    "GET @ HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n",
    "GET @ HTTP/1.1\r\nHost: x\r\nX: a\x01"
    "b\r\n\r\n",
    "GET @ HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
    "GET @ HTTP/1.1\r\n Host: x\r\n\r\n",
    "GET @ HTTP/1.1\r\nHost: x\r\nX Y: b\r\n\r\n",
    "GET @ HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
    "GET @ HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "GET @ HTTP/1.1\r\n\r\n",
    "GET @ HTTP/1.1\r\nHost: me@x\r\n\r\n",
    "GET @#f HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET @ a HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET @\x7f HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET @ HTTP/1.2\r\nHost: x\r\n\r\n",
    "GET @ HTTP/2.0\r\nHost: x\r\n\r\n",
    "GET @ http/1.1\r\nHost: x\r\n\r\n",
    "GET @\r\n\r\n",
    "G(T @ HTTP/1.1\r\nHost: x\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
};
/// Behind a chunk or none; no reader may find an end in it.
constexpr std::array kBrokenChunks{"0x5\r\nhello\r\n0\r\n\r\n",
                                   "-5\r\nhello\r\n0\r\n\r\n",
                                   "5 \r\nhello\r\n0\r\n\r\n",
                                   "5\nhello\r\n0\r\n\r\n",
                                   "5;a\nb\r\nhello\r\n0\r\n\r\n",
                                   "5\r\nhelloXX0\r\n\r\n",
                                   "4\r\nhello\r\n0\r\n\r\n",
                                   "g\r\nhello\r\n0\r\n\r\n",
                                   "10000000000000005\r\nhello\r\n0\r\n\r\n",
                                   "\r\nhello\r\n0\r\n\r\n",
                                   "5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n",
                                   "0\r\nno colon\r\n\r\n"};
constexpr std::array kBadReplies{"HTTP/1.1 20 OK\r\n@\r\nok",
                                 "HTTP/1.1 2000 OK\r\n@Content-Length: 2\r\n\r\nok",
                                 "HTTP/2 200 OK\r\n@Content-Length: 2\r\n\r\nok",
                                 "HTTP/1.1 200 OK\r\n@Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                                 "HTTP/1.1 200 OK\r\n@Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
                                 "HTTP/1.1 200 OK\r\n@Content-Length: +2\r\n\r\nok",
                                 "HTTP/1.1 200 OK\r\n@Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
                                 "HTTP/1.1 200 OK\n@Content-Length: 2\n\nok",
                                 "HTTP/1.1 200 OK\r\n@X: a\x01\r\nContent-Length: 2\r\n\r\nok",
                                 "HTTP/1.1 200 OK\r\n@X: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
                                 "HTTP/1.1 101 Switching\r\n@Upgrade: other\r\n\r\n",
                                 "HTTP/1.1 099 Low\r\n@Content-Length: 2\r\n\r\nok",
                                 "HTTP/1.1 204 No Content\r\n@Content-Length: 5\r\n\r\nhello",
                                 "nonsense\r\n\r\n"};

std::string filled(std::string_view form, std::string_view with) {
  std::string out(form);
  if (const std::size_t at = out.find('@'); at != std::string::npos) out.replace(at, 1, with);
  return out;
}

std::size_t some_size(base::Rng& rng) {
  switch (rng.below(8)) {
    case 0: return 0;
    case 1: return 10'000 + rng.below(20'000);
    case 2: return 50'000 + rng.below(150'000);
    default: return 1 + rng.below(900);
  }
}

std::string hexadecimal(std::size_t number) {
  std::array<char, 20> text{};
  std::snprintf(text.data(), text.size(), "%zx", number);
  return text.data();
}

std::string chunks(std::string_view payload, base::Rng& rng, bool ended) {
  std::string out;
  while (!payload.empty()) {
    const std::size_t size = std::min<std::size_t>(payload.size(), 1 + rng.below(payload.size() > 3000 ? 20'000 : 200));
    out += hexadecimal(size) + (rng.below(8) == 0 ? ";name=\"v\"\r\n" : "\r\n");
    out.append(payload.substr(0, size)).append("\r\n");
    payload.remove_prefix(size);
  }
  if (ended) out += rng.below(4) == 0 ? "0\r\nX-Sum: 1\r\n\r\n" : "0\r\n\r\n";
  return out;
}

void write_fine(Request& request, base::Rng& rng) {
  static constexpr std::array kMethods{"GET", "GET", "HEAD", "POST", "POST", "PUT", "DELETE"};
  request.method = kMethods[rng.below(kMethods.size())];
  request.http10 = rng.below(8) == 0;
  const bool body = request.method == "POST" || request.method == "PUT";
  const bool chunked = body && !request.http10 && rng.below(2) == 0;
  if (body) request.payload = pattern(request.token, some_size(rng));
  std::string& wire = request.wire;
  wire = request.method + " /x/" + request.token + (request.http10 ? " HTTP/1.0\r\nHost: x\r\n" : " HTTP/1.1\r\nHost: x\r\n");
  request.names_its_end = request.http10 ? rng.below(2) == 0 : rng.below(12) == 0;
  if (request.http10 && !request.names_its_end) wire += "Connection: keep-alive\r\n";
  if (!request.http10 && request.names_its_end) wire += "Connection: close\r\n";
  if (body && !request.http10 && rng.below(8) == 0) wire += "Expect: 100-continue\r\n";
  if (chunked) {
    wire += "Transfer-Encoding: chunked\r\n\r\n" + chunks(request.payload, rng, true);
  } else {
    wire += (body ? "Content-Length: " + std::to_string(request.payload.size()) + "\r\n\r\n" : "\r\n") + request.payload;
  }
}

void write_broken(Request& request, base::Rng& rng) {
  const std::string path = "/x/" + request.token;
  request.method = "POST";
  if (rng.below(3) > 0) {
    request.sort = Request::Sort::broken_head;
    request.wire = filled(kBrokenHeads[rng.below(kBrokenHeads.size())], path);
  } else {
    request.sort = Request::Sort::broken_body;
    request.payload = pattern(request.token, rng.below(2) == 0 ? 0 : some_size(rng));
    request.wire = "POST " + path + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(request.payload, rng, false) +
                   kBrokenChunks[rng.below(kBrokenChunks.size())];
  }
}

ClientPlan plan_client(const std::string& name, base::Rng& rng) {
  ClientPlan plan;
  const std::size_t count = 1 + rng.below(kMostRequests);
  bool over = false;
  for (std::size_t i = 0; i < count && !over; ++i) {
    Request request;
    request.token = name + "r" + std::to_string(i) + "z";
    switch (rng.below(12)) {
      case 0:
      case 1: write_broken(request, rng); break;
      case 2:
        write_fine(request, rng);
        request.sort = Request::Sort::cut;
        request.wire.resize(rng.below(request.wire.size()));
        plan.leave = Leave::ends_sending;
        break;
      case 3:
        request.upgrade = true;
        request.wire = "GET /x/" + request.token + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n";
        request.payload = pattern(request.token, some_size(rng));
        break;
      default: write_fine(request, rng);
    }
    over = request.sort != Request::Sort::fine || request.upgrade;
    plan.wire += request.wire;
    if (request.sort == Request::Sort::broken_head || request.sort == Request::Sort::broken_body)
      plan.wire += "GET /x/smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    plan.requests.push_back(std::move(request));
  }
  const std::array<std::size_t, 3> pieces{plan.wire.size() > 3000 ? 3000U : 3U, 400, 100'000};
  plan.piece = pieces[rng.below(pieces.size())];
  plan.resets = rng.below(2) == 0;
  if (plan.leave != Leave::stays || plan.requests.back().upgrade) return plan;
  switch (rng.below(8)) {
    case 0: plan.leave = Leave::ends_sending; break;
    case 1:
      plan.leave = Leave::after_sending;
      plan.leave_at = rng.below(plan.wire.size() + 1);
      break;
    case 2:
      plan.leave = Leave::after_hearing;
      plan.leave_at = rng.below(rng.below(2) == 0 ? 300 : 60'000);
      break;
    default: break;
  }
  return plan;
}

}  // namespace

std::string pattern(std::string_view token, std::size_t size) {
  std::string out;
  for (std::size_t i = 0; out.size() < size; ++i) out.append(token).append(std::to_string(i)).push_back('.');
  out.resize(size);
  return out;
}

Story::Story(std::uint64_t from) : seed(from) {
  base::Rng rng(from);
  workers = 1 + static_cast<std::uint32_t>(rng.below(2));
  concurrency = rng.below(3) == 0 ? 1 + static_cast<std::uint32_t>(rng.below(3)) : 0;
  keepalive = rng.below(5) > 0;
  budget = rng.below(2) == 0 ? 0 : 100;
  workers_close = rng.below(3) == 0;
  const std::size_t count = 1 + rng.below(kMostClients);
  for (std::size_t i = 0; i < count; ++i) clients.push_back(plan_client("s" + std::to_string(from) + "c" + std::to_string(i), rng));
}

const Request* Story::find(std::string_view token) const {
  for (const ClientPlan& client : clients) {
    for (const Request& request : client.requests) {
      if (request.token == token) return &request;
    }
  }
  return nullptr;
}

Reply Story::reply(const Request& request, unsigned number) const {
  using Sort = Reply::Sort;
  Reply out;
  out.id = request.token + "." + std::to_string(number);
  base::Rng rng = numbers_of(out.id);
  static constexpr std::array kGood{Sort::length,      Sort::length, Sort::chunked,    Sort::chunked,      Sort::until_close,
                                    Sort::http10,      Sort::empty,  Sort::no_content, Sort::not_modified, Sort::after_interim,
                                    Sort::named_close, Sort::hint,   Sort::early,      Sort::closes_after};
  static constexpr std::array kBad{Sort::silent_close, Sort::silent_reset, Sort::bad_head,  Sort::half_head,
                                   Sort::cut_length,   Sort::cut_chunked,  Sort::bad_chunk, Sort::extra_bytes};
  out.sort = rng.below(3) > 0 ? kGood[rng.below(kGood.size())] : kBad[rng.below(kBad.size())];
  if (request.upgrade && rng.below(3) > 0) out.sort = Sort::tunnel;
  if (out.sort == Sort::closes_after && !workers_close) out.sort = Sort::length;
  out.pause = rng.below(4) == 0 ? static_cast<unsigned>(rng.below(20)) : 0;
  if (rng.below(4) == 0) {
    out.rest_at = 1 + rng.below(rng.below(2) == 0 ? 300 : 30'000);
    out.rest = static_cast<unsigned>(1 + rng.below(30));
  }

  const bool to_head = request.method == "HEAD";
  const std::string field = "X-Reply: " + out.id + "\r\n";
  out.body = pattern("a" + out.id, out.sort == Sort::extra_bytes ? 1 + rng.below(500) : some_size(rng));
  const std::string length = "Content-Length: " + std::to_string(out.body.size()) + "\r\n";
  const std::string ok = "HTTP/1.1 200 OK\r\n" + field;
  const auto with_body = [&](const std::string& head) { return head + "\r\n" + (to_head ? std::string() : out.body); };
  if (to_head && (out.sort == Sort::cut_length || out.sort == Sort::cut_chunked || out.sort == Sort::bad_chunk)) out.sort = Sort::length;
  switch (out.sort) {
    case Sort::length: out.wire = with_body(ok + length); break;
    case Sort::chunked: out.wire = ok + "Transfer-Encoding: chunked\r\n\r\n" + (to_head ? "" : chunks(out.body, rng, true)); break;
    case Sort::until_close:
      out.wire = with_body(ok);
      out.closes = true;
      break;
    case Sort::http10:
      out.wire = with_body("HTTP/1.0 200 OK\r\n" + field + length);
      out.doubtful = true;
      break;
    case Sort::empty:
      out.body.clear();
      out.wire = ok + "Content-Length: 0\r\n\r\n";
      break;
    case Sort::no_content:
    case Sort::not_modified:
      out.body.clear();
      out.status = out.sort == Sort::no_content ? 204 : 304;
      out.wire = (out.status == 204 ? "HTTP/1.1 204 No Content\r\n" : "HTTP/1.1 304 Not Modified\r\n") + field + "\r\n";
      break;
    case Sort::after_interim: out.wire = with_body("HTTP/1.1 103 Early Hints\r\n" + field + "\r\n" + ok + length); break;
    case Sort::named_close:
      out.wire = with_body(ok + length + "Connection: close\r\n");
      out.doubtful = true;
      break;
    case Sort::hint: out.wire = with_body(ok + length + "Keep-Alive: timeout=1\r\n"); break;
    case Sort::early:
      out.wire = with_body(ok + length);
      out.early = true;
      break;
    case Sort::closes_after:
      out.wire = with_body(ok + length);
      out.closes = true;
      break;
    case Sort::silent_close:
    case Sort::silent_reset:
      out.heard = false;
      out.closes = true;
      out.resets = out.sort == Sort::silent_reset;
      break;
    case Sort::bad_head:
      out.wire = filled(kBadReplies[rng.below(kBadReplies.size())], field);
      out.heard = false;
      out.doubtful = true;
      break;
    case Sort::half_head:
      out.wire = ok.substr(0, 1 + rng.below(ok.size() - 1));
      out.heard = false;
      out.closes = true;
      break;
    case Sort::cut_length:
    case Sort::cut_chunked: {
      out.body = pattern("a" + out.id, 2 + some_size(rng));
      const std::string whole = out.sort == Sort::cut_length ? ok + "Content-Length: " + std::to_string(out.body.size()) + "\r\n\r\n" + out.body
                                                             : ok + "Transfer-Encoding: chunked\r\n\r\n" + chunks(out.body, rng, true);
      const std::size_t head = whole.find("\r\n\r\n") + 4;
      out.wire = whole.substr(0, head + rng.below(whole.size() - head));
      out.whole = false;
      out.closes = true;
      out.resets = rng.below(2) == 0;
      break;
    }
    case Sort::bad_chunk:
      out.wire = ok + "Transfer-Encoding: chunked\r\n\r\n" + chunks(out.body, rng, false) + kBrokenChunks[rng.below(kBrokenChunks.size())];
      out.whole = false;
      out.doubtful = true;
      break;
    case Sort::extra_bytes:
      out.wire = with_body(ok + length) + "HTTP/1.1 200 OK\r\nX-Reply: extra.0\r\nContent-Length: 5\r\n\r\nextra";
      out.doubtful = true;
      break;
    case Sort::tunnel:
      out.status = 101;
      out.wire = "HTTP/1.1 101 Switching Protocols\r\n" + field + "Connection: Upgrade\r\nUpgrade: test\r\n\r\n" + out.body;
      break;
  }
  return out;
}

}  // namespace drover::fuzz
