#include "config/parse.hpp"

#include "base/text.hpp"
#include "config/keys.hpp"
#include "config/reader.hpp"
#include "config/tree.hpp"
#include "config/validate.hpp"
#include "config/values.hpp"

#include <sched.h>

#include <algorithm>

namespace drover::config {

namespace {

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= 63 && name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") == std::string_view::npos;
}

/// A pool's name, until all pools are known.
void note(const Entry& of, std::string_view key, std::map<std::string, std::string>& into) {
  for (const Entry& each : of.value.entries) {
    if (each.name == key && !each.value.text.empty()) into[of.name] = each.value.text;
  }
}

/// Puts the sections of a tree together into a Config.
class Assembly {
 public:
  Assembly(Config& config, std::vector<Mistake>& mistakes, unsigned cpus)
      : config_(config), mistakes_(mistakes), reader_(mistakes, config.places, cpus) {}

  void run(const Node& root);

 private:
  void top(const Entry& entry);
  void unknown(const Entry& entry);
  void single(const Entry& entry, void* target);
  template <class Item>
  void named(const Entry& entry, std::vector<Item>& items);
  void routes(const Entry& entry);
  void one_route(const Node& node, std::size_t position);
  void check_ready(const Node& pool);
  void* target_of(std::string_view name);

  Config& config_;
  std::vector<Mistake>& mistakes_;
  Reader reader_;
  Written written_;
};

void* Assembly::target_of(std::string_view name) {
  if (name == "cluster") return &config_.cluster;
  if (name == "admin") return &config_.admin;
  if (name == "log") return &config_.log;
  return name == "proxy" ? &config_.proxy : nullptr;
}

void Assembly::run(const Node& root) {
  if (root.entries.empty()) {
    return reader_.mistake({}, "the file is empty", "the smallest file: [pool.web], and under it command = [\"program\", \"argument\"]");
  }
  for (const Section& each : sections()) {
    void* target = target_of(each.name);
    const bool given = std::any_of(root.entries.begin(), root.entries.end(), [&](const Entry& entry) { return entry.name == each.name; });
    if (target != nullptr && !given) reader_.read(Node{}, each, target, "", "");
  }
  for (const Entry& entry : root.entries) top(entry);
  validate(config_, written_, mistakes_);
}

void Assembly::top(const Entry& entry) {
  config_.places[entry.name] = entry.value.place;
  if (void* target = target_of(entry.name)) return single(entry, target);
  if (entry.name == "listener") return named(entry, config_.listeners);
  if (entry.name == "pool") return named(entry, config_.pools);
  if (entry.name == "route") return routes(entry);
  unknown(entry);
}

void Assembly::unknown(const Entry& entry) {
  const std::string name = base::printable(entry.name, 80);
  std::vector<std::string_view> names;
  for (const Section& each : sections()) names.push_back(each.name);
  if (entry.value.kind == Node::Kind::table || entry.value.kind == Node::Kind::list) {
    const std::string hint = suggest(entry.name, names);
    if (hint.starts_with("did you mean")) return reader_.mistake(entry.place, "unknown section [" + name + "]", hint);
  }
  for (const std::string_view owner : {"pool", "listener", "cluster", "proxy"}) {
    for (const Key& key : section(owner).keys()) {
      if (key.name != entry.name) continue;
      const std::string header = owner == "pool" || owner == "listener" ? "[" + std::string(owner) + ".NAME]" : "[" + std::string(owner) + "]";
      return reader_.mistake(entry.place, "'" + name + "' stands outside of any section", "it belongs under " + header);
    }
  }
  const char* what = entry.value.kind == Node::Kind::table ? "unknown section [" : "unknown key '";
  reader_.mistake(entry.place, what + name + (entry.value.kind == Node::Kind::table ? "]" : "' outside of any section"), suggest("", names));
}

void Assembly::single(const Entry& entry, void* target) {
  if (entry.value.kind != Node::Kind::table) {
    return reader_.mistake(entry.place, "'" + entry.name + "' is a section, not " + kind_text(entry.value.kind), "write [" + entry.name + "]");
  }
  reader_.read(entry.value, section(entry.name), target, entry.name, "[" + entry.name + "]");
}

template <class Item>
void Assembly::named(const Entry& entry, std::vector<Item>& items) {
  const std::string header = "[" + entry.name + ".NAME]";
  if (entry.value.kind != Node::Kind::table) {
    return reader_.mistake(entry.value.place, "each " + entry.name + " is a table with a name, not " + kind_text(entry.value.kind),
                           "write " + header + ", like [" + entry.name + ".web]");
  }
  const Section& keys = section(entry.name);
  if (entry.name == "pool" && entry.value.entries.empty()) reader_.mistake(entry.value.place, "[pool] is empty", "write [pool.web] and its command");
  for (const Entry& each : entry.value.entries) {
    const std::string name = base::printable(each.name, 80);
    if (each.value.kind != Node::Kind::table) {
      reader_.mistake(each.place, "'" + name + "' stands in [" + entry.name + "], which has no name", "write [" + entry.name + ".web] above it");
      continue;
    }
    if (!is_name(each.name)) {
      reader_.mistake(each.place, quoted(each.name) + " can't name a " + entry.name, "1 to 63 of a-z, 0-9, '_' and '-'");
    }
    const std::string path = entry.name + "." + each.name;
    config_.places[path] = each.value.place;
    Item item;
    item.name = each.name;
    reader_.read(each.value, keys, &item, path, "[" + entry.name + "." + name + "]");
    if (entry.name == "pool") check_ready(each.value);
    if (entry.name == "pool") note(each, "spill_to", written_.spills);
    if (entry.name == "listener") note(each, "pool", written_.listener_pools);
    items.push_back(std::move(item));
  }
}

/// `ready.tcp` is the default said aloud: it is remembered nowhere, but must not contradict `http` or `notify`.
void Assembly::check_ready(const Node& pool) {
  for (const Entry& ready : pool.entries) {
    if (ready.name != "ready") continue;
    const Node* tcp = nullptr;
    const Node* notify = nullptr;
    bool http = false;
    for (const Entry& each : ready.value.entries) {
      if (each.name == "tcp" && each.value.kind == Node::Kind::flag) tcp = &each.value;
      if (each.name == "notify" && each.value.kind == Node::Kind::flag && each.value.flag) notify = &each.value;
      http = http || each.name == "http";
    }
    if (notify != nullptr && http) {
      reader_.mistake(notify->place, "ready: both notify and http", "one decides: its own READY=1 (notify), or its answer to a GET (http)");
    }
    if (tcp == nullptr) continue;
    if (tcp->flag && http) {
      reader_.mistake(tcp->place, "ready: both tcp and http", "http includes the connection: take tcp out");
    } else if (tcp->flag && notify != nullptr) {
      reader_.mistake(tcp->place, "ready: both tcp and notify", "with notify only its own READY=1 counts: take tcp out");
    } else if (!tcp->flag && !http && notify == nullptr) {
      reader_.mistake(tcp->place, "ready: tcp = false, and nothing in its place", "add http = \"/health\", or take tcp out");
    }
  }
}

void Assembly::routes(const Entry& entry) {
  if (entry.value.kind != Node::Kind::list) {
    return reader_.mistake(entry.value.place, std::string("routes are a list of tables, not ") + kind_text(entry.value.kind),
                           "write [[route]], with two brackets");
  }
  for (std::size_t i = 0; i < entry.value.entries.size(); ++i) one_route(entry.value.entries[i].value, i);
}

void Assembly::one_route(const Node& node, std::size_t position) {
  if (node.kind != Node::Kind::table) {
    return reader_.mistake(node.place, std::string("a route is a table, not ") + kind_text(node.kind), "write [[route]]");
  }
  RouteNote note;
  note.name = "route." + std::to_string(position);
  config_.places[note.name] = node.place;
  const std::size_t before = mistakes_.size();
  reader_.read(node, section("route"), &note.route, note.name, "[[route]]");
  for (const Entry& each : node.entries) {
    if (each.name == "pool") note.pool = each.value.text;
    if (each.name != "split" || each.value.kind != Node::Kind::table) continue;
    for (const Entry& part : each.value.entries) note.split.emplace_back(part.name, static_cast<std::uint32_t>(part.value.integer));
  }
  note.misread = std::any_of(mistakes_.begin() + static_cast<std::ptrdiff_t>(before), mistakes_.end(),
                             [](const Mistake& each) { return !each.what.starts_with("unknown key"); });
  written_.routes.push_back(std::move(note));
}

/// CPUs that this process may run on (sched_getaffinity(2)).
unsigned usable_cpus() {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  if (::sched_getaffinity(0, sizeof cpus, &cpus) != 0) return 1;
  return static_cast<unsigned>(std::max(1, CPU_COUNT(&cpus)));
}

}  // namespace

base::Result<Config, Mistakes> parse(std::string_view text, std::string file) { return parse(text, std::move(file), usable_cpus()); }

base::Result<Config, Mistakes> parse(std::string_view text, std::string file, unsigned cpus) {
  Mistakes mistakes{file, std::string(text.substr(0, kMaxText)), {}};
  const auto tree = parse_tree(text);
  if (!tree) {
    mistakes.list.push_back(tree.error());
    return mistakes;
  }
  Config config;
  config.file = std::move(file);
  config.text = std::string(text);
  config.cpus = cpus;
  Assembly(config, mistakes.list, cpus).run(*tree);
  if (mistakes.list.empty()) return config;
  std::stable_sort(mistakes.list.begin(), mistakes.list.end(),
                   [](const Mistake& a, const Mistake& b) { return std::pair(a.line, a.column) < std::pair(b.line, b.column); });
  return mistakes;
}

}  // namespace drover::config
