// Role: how a key's value gets into its field and out of it again: at<&Pool::dir> is both ways, so that neither can be forgotten.
// Thread: any; pure. Ownership: plain functions; only the key table includes this.
#pragma once

#include "config/keys.hpp"

#include <concepts>
#include <optional>
#include <type_traits>

namespace drover::config::detail {

template <class T>
concept Whole = (std::integral<T> && !std::same_as<T, bool>) || std::is_enum_v<T>;

inline void put(bool& field, const Value& v) { field = v.flag; }
inline void put(double& field, const Value& v) { field = v.number; }
inline void put(Millis& field, const Value& v) { field = v.duration; }
inline void put(Bytes& field, const Value& v) { field = v.bytes; }
inline void put(std::string& field, const Value& v) { field = v.text; }
inline void put(std::vector<std::string>& field, const Value& v) { field = v.list; }
inline void put(std::vector<int>& field, const Value& v) { field = v.numbers; }
inline void put(std::map<std::string, std::string>& field, const Value& v) { field = v.environment; }
inline void put(std::map<int, std::string>& field, const Value& v) { field = v.pages; }
inline void put(std::vector<Field>& field, const Value& v) { field = v.fields; }
inline void put(PortRange& field, const Value& v) { field = v.ports; }
inline void put(Bind& field, const Value& v) { field = v.bind; }
template <Whole T>
void put(T& field, const Value& v) {
  field = static_cast<T>(v.integer);
}
template <class T>
void put(std::optional<T>& field, const Value& v) {
  if (v.word) {
    field.reset();
  } else {
    put(field.emplace(), v);
  }
}

inline void take(const bool& field, Value& v) { v.flag = field; }
inline void take(const double& field, Value& v) { v.number = field; }
inline void take(const Millis& field, Value& v) { v.duration = field; }
inline void take(const Bytes& field, Value& v) { v.bytes = field; }
inline void take(const std::string& field, Value& v) {
  v.text = field;
  v.word = field.empty();
}
inline void take(const std::vector<std::string>& field, Value& v) { v.list = field; }
inline void take(const std::vector<int>& field, Value& v) { v.numbers = field; }
inline void take(const std::map<std::string, std::string>& field, Value& v) { v.environment = field; }
inline void take(const std::map<int, std::string>& field, Value& v) { v.pages = field; }
inline void take(const std::vector<Field>& field, Value& v) { v.fields = field; }
inline void take(const PortRange& field, Value& v) { v.ports = field; }
inline void take(const Bind& field, Value& v) { v.bind = field; }
template <Whole T>
void take(const T& field, Value& v) {
  v.integer = static_cast<std::int64_t>(field);
}
template <class T>
void take(const std::optional<T>& field, Value& v) {
  v.word = !field;
  if (field) take(*field, v);
}

template <class>
struct Split;
template <class C, class F>
struct Split<F C::*> {
  using Struct = C;
};

template <auto Member>
void set(void* target, const Value& v) {
  put(static_cast<typename Split<decltype(Member)>::Struct*>(target)->*Member, v);
}
template <auto Member>
void get(const void* target, Value& v) {
  take(static_cast<const typename Split<decltype(Member)>::Struct*>(target)->*Member, v);
}

}  // namespace drover::config::detail

namespace drover::config {

template <auto Member>
inline constexpr Access at{detail::set<Member>, detail::get<Member>};

template <auto Member>
void* inner(void* target) {
  return &(static_cast<typename detail::Split<decltype(Member)>::Struct*>(target)->*Member);
}

}  // namespace drover::config
