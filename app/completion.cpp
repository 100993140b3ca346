#include "app/completion.hpp"

#include "app/message_verbs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace drover::app {

namespace {

constexpr std::string_view kShells = "bash zsh fish";

/// By a verb's first positional, and whether there are others.
Follows follows(const std::string& first, bool alone) {
  if (first == "FILE") return Follows::file;
  if (first == "SHELL") return Follows::shell;
  if (first == "ACTION") return Follows::action;
  return alone ? Follows::target : Follows::one_target;
}

const char* kind_of(Follows follows) {
  switch (follows) {
    case Follows::nothing: break;
    case Follows::file: return " kind=file";
    case Follows::target: return " kind=target";
    case Follows::one_target: return " kind=one";
    case Follows::shell: return " kind=shell";
    case Follows::action: return " kind=action";
  }
  return "";
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

/// In single quotes for a shell.
std::string in_quotes(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

/// _arguments and _describe read these as their own.
std::string zsh_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == ':' || c == '[' || c == ']' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string names_of(const std::vector<VerbShape>& verbs) {
  std::string names;
  for (const VerbShape& each : verbs) names += (names.empty() ? "" : " ") + each.name;
  return names;
}

}  // namespace

std::vector<VerbShape> shape_of(const CLI::App& app) {
  std::vector<VerbShape> verbs;
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App* each) { return !each->get_group().empty(); })) {
    VerbShape verb{sub->get_name(), sub->get_description(), {}, Follows::nothing, {}};
    std::vector<std::string> positionals;
    for (const CLI::Option* option : sub->get_options()) {
      if (option->get_positional()) {
        positionals.push_back(option->get_name(true));
        continue;
      }
      if (option->get_group().empty()) continue;
      OptionShape shape;
      for (const auto& name : option->get_lnames()) shape.names.push_back("--" + name);
      for (const auto& name : option->get_snames()) shape.names.push_back("-" + name);
      shape.value = option->get_items_expected_max() > 0;
      shape.file = option->get_type_name() == "PATH" || option->get_type_name() == "FILE";
      shape.help = option->get_description();
      verb.options.push_back(std::move(shape));
    }
    if (!positionals.empty()) verb.follows = follows(positionals[0], positionals.size() == 1);
    if (verb.follows == Follows::action) verb.actions.assign(kStateActions.begin(), kStateActions.end());
    verbs.push_back(std::move(verb));
  }
  return verbs;
}

std::string bash_completion(const std::vector<VerbShape>& verbs) {
  std::string out =
      "# bash completion for drover, made by: drover completion bash\n"
      "_drover() {\n"
      "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb='' words='' kind='' actions='' given=-1 i\n"
      "  local place=()\n"
      "  COMPREPLY=()\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    case ${COMP_WORDS[i]} in\n"
      "      --socket|--config) place=(\"${COMP_WORDS[i]}\" \"${COMP_WORDS[i+1]}\"); ((i++)) ;;\n"
      "      -*) ;;\n"
      "      *) verb=${verb:-${COMP_WORDS[i]}}; ((++given)) ;;\n"
      "    esac\n"
      "  done\n"
      "  case $verb in\n";
  out += "    '') words=" + in_quotes(names_of(verbs) + " --help --version") + " ;;\n";
  for (const VerbShape& verb : verbs) {
    std::string words;
    std::string files;
    std::string values;
    for (const OptionShape& option : verb.options) {
      for (const auto& name : option.names) {
        words += (words.empty() ? "" : " ") + name;
        if (option.value) (option.file ? files : values) += (option.file ? files : values).empty() ? name : "|" + name;
      }
    }
    out += "    " + verb.name + ")\n";
    if (!files.empty()) out += "      case $prev in " + files + ") mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); return ;; esac\n";
    if (!values.empty()) out += "      case $prev in " + values + ") return ;; esac\n";
    out += "      words=" + in_quotes(words);
    out += kind_of(verb.follows);
    if (verb.follows == Follows::action) out += " actions=" + in_quotes(joined(verb.actions));
    out += "\n      ;;\n";
  }
  out +=
      "  esac\n"
      "  case $kind:$given:$cur in\n"
      "    *:-*) ;;\n"
      "    one:0:*|action:1:*) kind=target ;;\n"
      "    action:0:*) kind=words words=$actions ;;\n"
      "  esac\n"
      "  case $verb:$cur:$kind in\n"
      "    :*|*:-*:*|*:words) ;;\n"
      "    *:file) mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); return ;;\n"
      "    *:shell) words='" +
      std::string(kShells) +
      "' ;;\n"
      "    *:target) words=$(drover targets \"${place[@]}\" 2>/dev/null) ;;\n"
      "    *) words='' ;;\n"
      "  esac\n"
      "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
      "}\n"
      "complete -F _drover drover\n";
  return out;
}

std::string zsh_completion(const std::vector<VerbShape>& verbs) {
  std::string out =
      "#compdef drover\n"
      "# zsh completion for drover, made by: drover completion zsh\n"
      "_drover_targets() {\n"
      "  local -a names place\n"
      "  local i=${words[(I)--socket|--config]}\n"
      "  (( i > 0 && i < CURRENT - 1 )) && place=(\"${words[i]}\" \"${words[i+1]}\")\n"
      "  names=(${(f)\"$(drover targets $place 2>/dev/null)\"})\n"
      "  compadd -a names\n"
      "}\n"
      "_drover() {\n"
      "  local -a verbs\n"
      "  verbs=(\n";
  for (const VerbShape& verb : verbs) out += "    " + in_quotes(zsh_escaped(verb.name) + ":" + zsh_escaped(verb.help)) + "\n";
  out +=
      "  )\n"
      "  if (( CURRENT == 2 )); then\n"
      "    _describe verb verbs\n"
      "    return\n"
      "  fi\n"
      "  local verb=${words[2]}\n"
      "  shift words\n"
      "  (( CURRENT-- ))\n"
      "  case $verb in\n";
  for (const VerbShape& verb : verbs) {
    out += "    " + verb.name + ") _arguments";
    for (const OptionShape& option : verb.options) {
      for (const auto& name : option.names) {
        out +=
            " \\\n      " + in_quotes(name + "[" + zsh_escaped(option.help) + "]" + (option.value ? option.file ? ":path:_files" : ":value:" : ""));
      }
    }
    if (verb.follows == Follows::file) out += " \\\n      '*:file:_files'";
    if (verb.follows == Follows::shell) out += " \\\n      '*:shell:(" + std::string(kShells) + ")'";
    if (verb.follows == Follows::target) out += " \\\n      '*:target:_drover_targets'";
    if (verb.follows == Follows::one_target) out += " \\\n      '1:target:_drover_targets' '*:argument:'";
    if (verb.follows == Follows::action) out += " \\\n      '1:action:(" + joined(verb.actions) + ")' '2:pool:_drover_targets' '*:argument:'";
    out += " ;;\n";
  }
  return out + "  esac\n}\ncompdef _drover drover\n";
}

std::string fish_completion(const std::vector<VerbShape>& verbs) {
  std::string out = "# fish completion for drover, made by: drover completion fish\ncomplete -c drover -f\n";
  for (const VerbShape& verb : verbs) {
    out += fmt::format("complete -c drover -n __fish_use_subcommand -a {} -d {}\n", verb.name, in_quotes(verb.help));
    const std::string of_verb = "complete -c drover -n '__fish_seen_subcommand_from " + verb.name + "'";
    for (const OptionShape& option : verb.options) {
      std::string names;
      for (const auto& name : option.names) names += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      out += of_verb + names + (option.value ? option.file ? " -r -F" : " -x" : "") + " -d " + in_quotes(option.help) + "\n";
    }
    if (verb.follows == Follows::file) out += of_verb + " -F\n";
    if (verb.follows == Follows::shell) out += of_verb + " -a '" + std::string(kShells) + "'\n";
    if (verb.follows == Follows::target || verb.follows == Follows::one_target) out += of_verb + " -a '(drover targets 2>/dev/null)'\n";
    if (verb.follows != Follows::action) continue;
    const std::string seen = "__fish_seen_subcommand_from " + verb.name + "; and ";
    const std::string action = "__fish_seen_subcommand_from " + joined(verb.actions);
    out += "complete -c drover -n " + in_quotes(seen + "not " + action) + " -a " + in_quotes(joined(verb.actions)) + "\n";
    out += "complete -c drover -n " + in_quotes(seen + action) + " -a '(drover targets 2>/dev/null)'\n";
  }
  return out;
}

}  // namespace drover::app
