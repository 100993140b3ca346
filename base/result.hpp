// Role: errors as values. Result<T> is what a function that can fail returns across rooms.
// Thread: any. Ownership: plain values.
// An Error's message names the thing, the place, the reason and the fix; it is for operators, never for clients.
#pragma once

#include <boost/system/result.hpp>

#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

namespace drover::base {

struct Error {
  std::string message;
  int code = 0;  ///< errno where a system call failed, else 0
};

/// Called by Result::value() on an error: using a failed result without asking is a bug.
[[noreturn]] inline void throw_exception_from_error(const Error& error, const boost::source_location&) {
  throw std::logic_error("unchecked error: " + error.message);
}

template <class T, class E = Error>
using Result = boost::system::result<T, E>;

/// "what: strerror (errno)", for a system call that has just failed.
inline Error system_error(std::string what, int code) {
  what += ": ";
  what += std::strerror(code);
  return Error{std::move(what), code};
}

}  // namespace drover::base
