"""cfn-lint rules of this project's own: what AWS refuses, or worse accepts, and cfn-lint lets pass.

`make validate` runs them; anybody else can, on any template and from any folder: `cfn-lint --append-rules path/to/scripts/rules -- template.yaml`.
One rule a file, `e<number>_<what it is about>.py`, with id, shortdesc, description, source_url and tags.

How cfn-lint loads a folder of rules: it imports each file whose name begins with a letter or a digit but 0, alone and as no part of any package
(`cfnlint.helpers.load_plugins`), and makes an instance of each class in it that comes from its own rule class. So

- modules that rules share begin with an underscore: no rules are looked for in them;
- a rule finds them beside itself, by this head, in which the first branch is for mypy and editors:

      if TYPE_CHECKING:
          from scripts.rules import _rule
      else:
          sys.path.append(str(Path(__file__).parent))
          import _rule

- they are imported as modules, not by their classes' names: a base class in a rule's own file would be taken for a rule.

`data/` holds the tables that rules judge by, each with its source and the date on which it was read. A value that only a deployment
knows (a Ref without AllowedValues, an import) is not judged; each branch of an Fn::If is.
"""
