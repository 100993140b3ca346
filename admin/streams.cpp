#include "admin/streams.hpp"

#include "admin/json_text.hpp"

#include <boost/json/object.hpp>

#include <cmath>

namespace drover::admin {

namespace {

namespace json = boost::json;

/// What events and lines of output have in common; `event`: "" = none.
json::object head_of(std::uint64_t number, double time, const std::string& event, const std::string& pool, std::uint32_t slot,
                     base::Incarnation incarnation) {
  json::object line{{"number", number}, {"time", std::round(time * 1000) / 1000}};
  if (!event.empty()) line["event"] = event;
  if (slot != 0) line["worker"] = pool + "." + std::to_string(slot);
  if (!pool.empty()) line["pool"] = pool;
  if (slot != 0) line["slot"] = slot;
  if (incarnation != 0) line["incarnation"] = incarnation;
  return line;
}

void append_step(std::string& out, const backends::OrderProgress& step) {
  json::object line{{"line", step.line}};
  if (step.done) {
    line["done"] = true;
    line["ok"] = step.ok;
  }
  append_json(out, line);
  out += '\n';
}

}  // namespace

void append_line(std::string& out, std::uint64_t number, const backends::ClusterEvent& event) {
  json::object line = head_of(number, event.time, event.name, event.pool, event.slot, event.incarnation);
  for (const auto& each : event.data) line.emplace(each.key(), each.value());  // never over what the head says
  append_json(out, line);
  if (!event.message.empty()) {
    out.back() = ',';  // the head's brace
    out += "\"message\":";
    append_json_as_it_is(out, event.message);
    out += '}';
  }
  out += '\n';
}

void append_line(std::string& out, std::uint64_t number, const backends::OutputLine& line) {
  json::object whole = head_of(number, line.time, "", line.pool, line.slot, line.incarnation);
  whole["text"] = line.text;
  append_json(out, whole);
  out += '\n';
}

void append_gap(std::string& out, std::uint64_t lost) { out += "{\"event\":\"gap\",\"lost\":" + std::to_string(lost) + "}\n"; }

std::uint64_t first_of_last(const backends::OutputJournal& journal, std::uint64_t most, const std::optional<backends::Target>& target) {
  std::uint64_t number = journal.next();
  std::uint64_t found = 0;
  while (number > journal.first() && found < most) {
    --number;
    const backends::OutputLine& line = journal.at(number);
    if (!target || concerns(*target, line.pool, line.slot)) ++found;
  }
  return number;
}

base::Result<std::unique_ptr<OrderSource>> OrderSource::begin(const ClusterDoor& door, const backends::Order& order) {
  std::unique_ptr<OrderSource> source(new OrderSource);
  const auto watcher = [record = source->record_](const backends::OrderProgress& step) {
    if (record->done) return;
    if (record->steps.size() >= kSteps) {
      record->steps.pop_front();
      ++record->lost;
    }
    record->steps.push_back(step);
    record->done = step.done;
    if (record->bell) record->bell();
  };
  auto begun = door.order(order, watcher);
  if (!begun) return std::move(begun.error());
  source->id_ = *begun;
  source->forget_ = door.forget;
  return source;
}

OrderSource::~OrderSource() {
  record_->bell = nullptr;
  if (forget_ && !record_->done) forget_(id_);
}

Pulled OrderSource::pull(std::string& out) {
  if (record_->lost > 0) append_gap(out, std::exchange(record_->lost, 0));
  while (!record_->steps.empty() && out.size() < kEnough) {
    append_step(out, record_->steps.front());
    record_->steps.pop_front();
  }
  if (!record_->steps.empty()) return Pulled::more;
  return record_->done || ending_ ? Pulled::end : Pulled::wait;
}

void PushedSource::Record::push(std::string line, bool last) {
  if (done) return;
  bytes += line.size();
  lines.push_back(std::move(line));
  while (lines.size() > 1 && (bytes > most_bytes || lines.size() > kLines)) {
    bytes -= lines.front().size();
    lines.pop_front();
    ++lost;
  }
  done = last;
  if (bell) bell();
}

PushedSource::~PushedSource() {
  record_->bell = nullptr;
  if (leave_ && !record_->done) leave_();
  record_->done = true;
}

Pulled PushedSource::pull(std::string& out) {
  if (record_->lost > 0) append_gap(out, std::exchange(record_->lost, 0));
  while (!record_->lines.empty() && out.size() < kEnough) {
    out += record_->lines.front();
    record_->bytes -= record_->lines.front().size();
    record_->lines.pop_front();
  }
  if (!record_->lines.empty()) return Pulled::more;
  return record_->done || ending_ ? Pulled::end : Pulled::wait;
}

}  // namespace drover::admin
