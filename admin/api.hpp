// Role: the admin API (docs/api.md) without any I/O: what a door lets in, and what it answers.
// Thread: supervisor. Ownership: a Question refers to the request, which outlives the answer.
#pragma once

#include "admin/answers.hpp"
#include "admin/door.hpp"
#include "admin/line_source.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace drover::admin {

/// What one door lets in.
struct Rights {
  bool everything = false;  ///< the Unix socket: who may open it may do all
  std::string listen_host;  ///< TCP: the name in `admin.listen`, a Host beside addresses and localhost
  std::string token;        ///< TCP: what lets one change things; "" = nothing does
};

enum class Method : std::uint8_t { read, post, other };

struct Question {
  Method method = Method::read;    ///< read: GET or HEAD
  std::string_view target;         ///< path, with query
  std::string_view host;           ///< Host header; "" = none
  std::string_view authorization;  ///< header; "" = none
  std::string_view body;
};

using Reply = std::variant<Answer, std::unique_ptr<LineSource>>;

inline constexpr std::size_t kMaxBody = 64 * 1024;
inline constexpr std::size_t kMaxMessageBody = 1024 * 1024;  ///< of the paths that carry messages and values: a channel's longest line

/// What the head alone makes clear: 401, 403, 404, 405. None: the body may be read, and answer() be asked.
std::optional<Answer> refuse(const Question& question, const Rights& rights);
/// Does it hold the connection, so that it counts among the streams?
bool streams(const Question& question);
/// What its body may have, at most.
std::size_t body_limit(const Question& question);
/// Of a question that was not refused.
Reply answer(const Question& question, const ClusterDoor& door);

Answer json_answer(const boost::json::value& value, unsigned status = 200);
/// An error as the API words it.
Answer refusal(unsigned status, std::string_view message);

}  // namespace drover::admin
