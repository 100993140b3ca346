// Role: looking into JSON that may lack what one looks for: an older or newer drover may have sent it.
// Thread: any; pure. Ownership: refers to the value.
#pragma once

#include "base/text.hpp"

#include <boost/json/value.hpp>

#include <string>
#include <string_view>

namespace drover::app {

/// nullptr: it is not an object, or has no such member, or that is null.
inline const boost::json::value* member(const boost::json::value& value, std::string_view name) {
  const auto* object = value.if_object();
  const auto* found = object == nullptr ? nullptr : object->if_contains({name.data(), name.size()});
  return found == nullptr || found->is_null() ? nullptr : found;
}

/// Fit for a terminal; "" where it is none.
inline std::string text_in(const boost::json::value& value, std::string_view name) {
  const auto* found = member(value, name);
  const auto* text = found == nullptr ? nullptr : found->if_string();
  return text == nullptr ? "" : base::printable({text->data(), text->size()}, 8192);
}

inline double number_in(const boost::json::value& value, std::string_view name, double otherwise = 0) {
  const auto* found = member(value, name);
  if (found == nullptr || !found->is_number()) return otherwise;
  boost::system::error_code error;
  const auto number = found->to_number<double>(error);
  return error ? otherwise : number;
}

inline bool flag_in(const boost::json::value& value, std::string_view name) {
  const auto* found = member(value, name);
  return found != nullptr && found->is_bool() && found->get_bool();
}

/// Calls `each` with every element of that array.
template <class Each>
void for_each_in(const boost::json::value& value, std::string_view name, Each each) {
  const auto* found = member(value, name);
  if (found == nullptr || !found->is_array()) return;
  for (const auto& element : found->get_array()) each(element);
}

}  // namespace drover::app
