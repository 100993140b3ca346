#include "ipc/outbox.hpp"

#include <algorithm>
#include <utility>

namespace drover::ipc {

namespace {

/// With its end, and in hardly more memory than that takes: what waits is counted by it.
std::string whole(std::string line) {
  if (line.size() < line.capacity() && line.capacity() <= line.size() + line.size() / 8) {
    line += '\n';
    return line;
  }
  std::string out;
  out.reserve(line.size() + 1);
  out += line;
  out += '\n';
  return out;
}

/// What a string costs beside itself: a short one lies within.
std::size_t heap_bytes(const std::string& text) { return text.capacity() > std::string().capacity() ? text.capacity() + 1 : 0; }

}  // namespace

void Outbox::add(std::string line) { put(kMust, whole(std::move(line))); }

void Outbox::add(std::string line, base::UniqueFd descriptor) { put(kDescriptor, whole(std::move(line))).descriptor = std::move(descriptor); }

std::size_t Outbox::add_message(std::string line) {
  put(kMessage, whole(std::move(line)));
  return drop_messages();
}

void Outbox::add_sync(const std::string& key) {
  if (waiting_keys_.contains(key)) return;
  Entry& entry = put(kSync, {});
  entry.key = key;
  count(kSync, entry);
  waiting_keys_.insert(entry.key);
}

void Outbox::clear() {
  waiting_keys_.clear();
  for (Queue& queue : queues_) queue.clear();
  bytes_ = {};
  begun_ = 0;
  in_flight_ = in_batch_ = false;
}

Outbox::Entry& Outbox::put(Kind kind, std::string line) {
  Entry& entry = queues_[kind].emplace_back();
  entry.number = ++last_;
  entry.line = std::move(line);
  count(kind, entry);
  return entry;
}

void Outbox::count(Kind kind, Entry& entry) {
  bytes_[kind] -= entry.cost;
  entry.cost = kEntryBytes + heap_bytes(entry.line) + heap_bytes(entry.key);
  bytes_[kind] += entry.cost;
}

void Outbox::take(Kind kind, Place place) {
  bytes_[kind] -= place->cost;
  queues_[kind].erase(place);
}

/// The oldest first, but never one that is begun, nor the newest.
std::size_t Outbox::drop_messages() {
  if (in_batch_) return 0;  // made up for by the next message
  Queue& queue = queues_[kMessage];
  const bool begun = begun_ > 0 && begun_kind_ == kMessage;
  std::size_t dropped = 0;
  while (bytes_[kMessage] > limits_.messages && queue.size() > (begun ? 2U : 1U)) {
    take(kMessage, begun ? std::next(queue.begin()) : queue.begin());
    ++dropped;
  }
  return dropped;
}

bool Outbox::ready() const {
  const bool descriptor = !in_flight_ && !queues_[kDescriptor].empty();
  return begun_ > 0 || descriptor || !queues_[kMust].empty() || !queues_[kMessage].empty() || !queues_[kSync].empty();
}

/// Whose entry is next, of those up to number `last`; kKinds: nobody's.
Outbox::Kind Outbox::lowest(const Places& at, std::uint64_t last, bool with_descriptor) const {
  Kind out = kKinds;
  for (const Kind kind : {kMust, kMessage, kSync, kDescriptor}) {
    if (at[kind] == queues_[kind].end() || (kind == kDescriptor && !with_descriptor) || at[kind]->number > last) continue;
    if (out == kKinds || at[kind]->number < at[out]->number) out = kind;
  }
  return out;
}

/// False: there is nothing to tell of that key.
bool Outbox::make_line(Place place, const MakeLine& make) {
  // From here on a change of the key is news again: the line that is being made may not have it.
  waiting_keys_.erase(place->key);
  std::string line = make(place->key);
  if (line.empty()) return false;
  place->line = whole(std::move(line));
  count(kSync, *place);
  return true;
}

void Outbox::unmake(Place place) {
  std::string().swap(place->line);
  count(kSync, *place);
  if (!waiting_keys_.insert(place->key).second) take(kSync, place);  // it changed in between, and waits anew
}

void Outbox::Batch::add(Kind kind, Place place, std::size_t from) {
  parts[count] = {place->line.data() + from, place->line.size() - from};
  kinds_[count] = kind;
  places_[count] = place;
  bytes += parts[count].iov_len;
  ++count;
}

void Outbox::next(Batch& batch, const MakeLine& make) {
  in_batch_ = true;
  batch.count = batch.bytes = 0;
  batch.descriptor = -1;
  const std::uint64_t last = last_;  // what `make` adds comes in its order, in a later batch
  Places at;
  for (std::size_t kind = 0; kind < kKinds; ++kind) at[kind] = queues_[kind].begin();
  if (begun_ > 0) batch.add(begun_kind_, at[begun_kind_]++, begun_);
  while (batch.count < kBatchLines && batch.bytes < kBatchBytes) {
    const Kind kind = lowest(at, last, !in_flight_ && batch.descriptor < 0);
    if (kind == kKinds) break;
    if (kind == kDescriptor) {
      if (batch.count > 0) break;  // it begins the next one
      batch.descriptor = at[kind]->descriptor.get();
    }
    const Place place = at[kind]++;
    if (kind == kSync && !make_line(place, make)) {
      take(kSync, place);
      continue;
    }
    batch.add(kind, place, 0);
  }
}

std::size_t Outbox::written(const Batch& batch, std::size_t bytes) {
  in_batch_ = false;
  std::size_t lines = 0;
  for (std::size_t i = 0; i < batch.count; ++i) {
    const Place place = batch.places_[i];
    const Kind kind = batch.kinds_[i];
    const std::size_t taken = std::min(bytes, batch.parts[i].iov_len);
    bytes -= taken;
    if (taken > 0 && place->descriptor) {
      place->descriptor.reset();
      in_flight_ = true;
    }
    if (taken == batch.parts[i].iov_len) {
      take(kind, place);
      begun_ = 0;
      ++lines;
    } else if (taken > 0) {
      begun_ += taken;
      begun_kind_ = kind;
    } else if (kind == kSync && (begun_ == 0 || i > 0)) {
      unmake(place);
    }
  }
  return lines;
}

}  // namespace drover::ipc
