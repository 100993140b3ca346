// Role: the rows of the API that speak to workers and look into their shared state.
// Thread: supervisor. Ownership: a stream forgets its request or its watch when it goes.
#pragma once

#include "admin/api.hpp"
#include "admin/api_input.hpp"
#include "base/units.hpp"

#include <cstddef>

namespace drover::admin {

inline constexpr base::Millis kRequestTime{5'000};
inline constexpr base::Millis kLongestRequest{60'000};
inline constexpr std::size_t kAnswerBytes = 16 * 1024 * 1024;  ///< of answers to one request that wait for their reader
inline constexpr std::size_t kChangeBytes = 2 * 1024 * 1024;   ///< of changes that wait for their reader

Reply send_message(const Query& query, const Question& question, const ClusterDoor& door);
Reply request_workers(const Query& query, const Question& question, const ClusterDoor& door);

Reply state_get(const Query& query, const Question& question, const ClusterDoor& door);
Reply state_list(const Query& query, const Question& question, const ClusterDoor& door);
Reply state_watch(const Query& query, const Question& question, const ClusterDoor& door);
Reply state_set(const Query& query, const Question& question, const ClusterDoor& door);
Reply state_delete(const Query& query, const Question& question, const ClusterDoor& door);
Reply state_incr(const Query& query, const Question& question, const ClusterDoor& door);
Reply state_cas(const Query& query, const Question& question, const ClusterDoor& door);

}  // namespace drover::admin
