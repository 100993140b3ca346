// Role: what happens in one run of proxy_fuzz, decided by its seed alone: what each client sends, and how a worker answers each try.
// Thread: any; pure. Ownership: values.
#pragma once

#include "base/rng.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace drover::fuzz {

/// What a message of that token is made of: no byte of another can stand in its place unseen.
std::string pattern(std::string_view token, std::size_t size);

struct Request {
  enum class Sort : std::uint8_t {
    fine,
    broken_head,  ///< refused; not one byte may reach a worker
    broken_body,  ///< no worker may take it for whole
    cut           ///< the client ends its sending inside it
  };
  std::string token;
  Sort sort = Sort::fine;
  std::string method = "GET";
  bool http10 = false;
  bool names_its_end = false;  ///< says that no further request follows, which may be a lie
  bool upgrade = false;
  std::string payload;  ///< that of a fine one
  std::string wire;

  bool idempotent() const { return method != "POST"; }
};

/// The end that a client makes by itself.
enum class Leave : std::uint8_t { stays, ends_sending, after_sending, after_hearing };

struct ClientPlan {
  std::vector<Request> requests;
  std::string wire;  ///< of all, and what a broken one smuggles
  std::size_t piece = 1;
  Leave leave = Leave::stays;
  std::size_t leave_at = 0;  ///< bytes sent or heard
  bool resets = false;
};

struct Reply {
  enum class Sort : std::uint8_t {
    length,
    chunked,
    until_close,
    http10,
    empty,
    no_content,
    not_modified,
    after_interim,
    named_close,
    hint,
    early,         ///< before the request is whole
    closes_after,  ///< a good one, then the connection's end, not announced
    silent_close,
    silent_reset,
    bad_head,
    half_head,
    cut_length,
    cut_chunked,
    bad_chunk,
    extra_bytes,  ///< a good one with more behind it
    tunnel
  };
  Sort sort = Sort::length;
  std::string id;  ///< token and number of the try: X-Reply
  unsigned status = 200;
  std::string wire;
  std::string body;     ///< as the client shall have it
  bool whole = true;    ///< may it look complete to the client?
  bool heard = true;    ///< may the client hear of it?
  bool closes = false;  ///< the worker ends the connection
  bool resets = false;
  bool early = false;
  bool doubtful = false;    ///< the connection may carry nothing more
  unsigned pause = 0;       ///< turns before it
  std::size_t rest_at = 0;  ///< so many bytes of it, then again some turns without any
  unsigned rest = 0;
};

struct Story {
  explicit Story(std::uint64_t from);
  /// Of the try with that number on that request.
  Reply reply(const Request& request, unsigned number) const;
  const Request* find(std::string_view token) const;

  std::uint64_t seed;
  std::uint32_t workers = 1;
  std::uint32_t concurrency = 0;
  bool keepalive = true;
  double budget = 0;
  bool workers_close = false;  ///< idle connections end without a word
  std::vector<ClientPlan> clients;
};

}  // namespace drover::fuzz
