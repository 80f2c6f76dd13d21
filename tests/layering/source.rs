//! One Rust file as the checks see it: parsed, without what only tests compile.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, Group, Span, TokenStream, TokenTree};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

/// Names separated by `::`.
pub(crate) type Names = Vec<String>;

/// A path in the code: in a `use`, an expression, a type, a pattern, an attribute or the tokens of a macro.
#[derive(Debug)]
pub(crate) struct Mention {
    pub(crate) line: usize,
    /// The module it stands in.
    pub(crate) module: Names,
    pub(crate) names: Names,
}

/// A public function, constant or type.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) line: usize,
    pub(crate) name: String,
}

/// A file below `src`.
#[derive(Debug, Default)]
pub(crate) struct Source {
    pub(crate) path: String,
    /// The module that the file is: `remote::view`; the crate itself has no name.
    pub(crate) module: Names,
    pub(crate) lines: usize,
    pub(crate) opens_with_doc: bool,
    pub(crate) mentions: Vec<Mention>,
    /// Names brought in by `use`, with their paths as written and the module of the `use`.
    pub(crate) imports: BTreeMap<String, (Names, Names)>,
    pub(crate) comparisons: Vec<(usize, String)>,
    pub(crate) definitions: Vec<Definition>,
    /// Names that are used, other than in their own definition, in an `impl` of themselves, and in imports.
    pub(crate) used_names: BTreeSet<String>,
    /// Modules in files of their own that only tests compile.
    pub(crate) test_modules: Vec<Names>,
}

impl Source {
    /// # Panics
    /// When the text is no Rust.
    pub(crate) fn parse(path: &str, text: &str) -> Self {
        let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
        let module = module_of(path);
        let mut test_modules = Vec::new();
        let code = without_tests(tokens, &mut test_modules);
        let file: syn::File = syn::parse2(code.clone()).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut visitor = Visitor { module: module.clone(), ..Visitor::default() };
        visitor.visit_file(&file);
        visitor.collect_used_names(code);
        let mut source = visitor.source;
        source.path = path.to_owned();
        source.test_modules = test_modules.into_iter().map(|name| [&module[..], &[name]].concat()).collect();
        source.module = module;
        source.lines = text.lines().count();
        source.opens_with_doc = text.starts_with("//!");
        source
    }

    /// The folder directly below `src`.
    pub(crate) fn layer(&self) -> Option<&str> {
        self.path.split_once('/').map(|(layer, _)| layer)
    }
}

fn module_of(path: &str) -> Names {
    let mut names: Names = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if names.last().is_some_and(|name| ["mod", "lib", "main"].contains(&name.as_str())) {
        names.pop();
    }
    names
}

/// Leaves out every item, statement and field under `#[cfg(test)]`; notes the modules among them that are files.
fn without_tests(tokens: TokenStream, test_modules: &mut Vec<String>) -> TokenStream {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        if attribute(&tokens, at).is_some_and(is_cfg_test) {
            let end = end_of_item(&tokens, at);
            let names: Vec<String> = tokens[at..end].iter().map(ToString::to_string).collect();
            if let [.., keyword, name, semicolon] = &names[..]
                && (keyword.as_str(), semicolon.as_str()) == ("mod", ";")
            {
                test_modules.push(name.clone());
            }
            at = end;
            continue;
        }
        kept.push(match &tokens[at] {
            TokenTree::Group(group) => {
                let mut inner = Group::new(group.delimiter(), without_tests(group.stream(), test_modules));
                inner.set_span(group.span());
                inner.into()
            }
            other => other.clone(),
        });
        at += 1;
    }
    kept.into_iter().collect()
}

/// The bracketed part of an attribute that begins at `at`.
fn attribute(tokens: &[TokenTree], at: usize) -> Option<&Group> {
    match (tokens.get(at)?, tokens.get(at + 1)?) {
        (TokenTree::Punct(hash), TokenTree::Group(group))
            if hash.as_char() == '#' && group.delimiter() == Delimiter::Bracket =>
        {
            Some(group)
        }
        _ => None,
    }
}

fn is_cfg_test(attribute: &Group) -> bool {
    let text = attribute.stream().to_string().replace(' ', "");
    text == "cfg(test)" || text.starts_with("cfg(all(test,")
}

fn end_of_item(tokens: &[TokenTree], mut at: usize) -> usize {
    while attribute(tokens, at).is_some() {
        at += 2;
    }
    let word = |at: usize| tokens.get(at).map(ToString::to_string).unwrap_or_default();
    let is_skipped = |at: usize| matches!(word(at).as_str(), "pub" | "unsafe" | "async") || word(at).starts_with('(');
    let mut keyword = at;
    while keyword < tokens.len() && (is_skipped(keyword) || word(keyword) == "const" && word(keyword + 1) == "fn") {
        keyword += 1;
    }
    let keyword = word(keyword);
    let ends = |token: &TokenTree| match token {
        TokenTree::Punct(point) if point.as_char() == ';' => true,
        TokenTree::Punct(point) => {
            point.as_char() == ','
                && !["fn", "struct", "enum", "impl", "mod", "trait", "use", "const", "static", "type", "let"]
                    .contains(&keyword.as_str())
        }
        TokenTree::Group(group) => {
            group.delimiter() == Delimiter::Brace
                && ["fn", "struct", "enum", "impl", "mod", "trait"].contains(&keyword.as_str())
        }
        _ => false,
    };
    tokens[at..].iter().position(ends).map_or(tokens.len(), |end| at + end + 1)
}

/// Lines and columns.
type Range = ((usize, usize), (usize, usize));

fn range_of(span: Span) -> Range {
    ((span.start().line, span.start().column), (span.end().line, span.end().column))
}

#[derive(Default)]
struct Visitor {
    module: Names,
    source: Source,
    /// Where mentions of a name do not count: its definition, an `impl` of it.
    own: BTreeMap<String, Vec<Range>>,
    imports: Vec<Range>,
    renamed: BTreeSet<String>,
}

impl Visitor {
    fn mention(&mut self, span: Span, names: Names) {
        let module = self.module.clone();
        self.source.mentions.push(Mention { line: span.start().line, module, names });
    }

    fn define(&mut self, vis: &syn::Visibility, name: &syn::Ident, whole: Span) {
        if !matches!(vis, syn::Visibility::Inherited) {
            self.source.definitions.push(Definition { line: name.span().start().line, name: name.to_string() });
            self.own.entry(name.to_string()).or_default().push(range_of(whole));
        }
    }

    fn expand(&mut self, tree: &syn::UseTree, before: &[String]) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.expand(&path.tree, &with(&path.ident)),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.expand(tree, before)),
            syn::UseTree::Glob(glob) => self.mention(glob.span(), before.to_vec()),
            syn::UseTree::Name(name) => self.import(&name.ident, &name.ident, before),
            syn::UseTree::Rename(rename) => self.import(&rename.ident, &rename.rename, before),
        }
    }

    fn import(&mut self, name: &syn::Ident, here: &syn::Ident, before: &[String]) {
        let names = if name == "self" { before.to_vec() } else { [before, &[name.to_string()]].concat() };
        let here = if here == "self" { before.last().cloned().unwrap_or_default() } else { here.to_string() };
        if names.last() != Some(&here) {
            self.renamed.extend(names.last().cloned());
        }
        self.source.imports.insert(here, (self.module.clone(), names.clone()));
        self.mention(name.span(), names);
    }

    /// Paths and comparisons in tokens that nobody has parsed.
    fn scan(&mut self, tokens: &TokenStream) {
        let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
        let is = |at: usize, sign: char| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == sign);
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.scan(&group.stream()),
                TokenTree::Ident(first) => {
                    let mut names = vec![first.to_string()];
                    while is(at + 1, ':') && is(at + 2, ':') {
                        let Some(TokenTree::Ident(next)) = tokens.get(at + 3) else { break };
                        names.push(next.to_string());
                        at += 3;
                    }
                    if is(at + 1, '!') && !is(at + 2, '=') {
                        names.last_mut().expect("has one").push('!');
                    }
                    self.mention(first.span(), names);
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn compare(&mut self, span: Span, what: &str) {
        self.source.comparisons.push((span.start().line, what.to_owned()));
    }

    fn collect_used_names(&mut self, code: TokenStream) {
        let mut names = Vec::new();
        collect_names(code, &mut names);
        let within = |ranges: &[Range], at: (usize, usize)| ranges.iter().any(|(start, end)| *start <= at && at < *end);
        for (name, at) in names {
            let own = self.own.get(&name).is_some_and(|ranges| within(ranges, at));
            if !own && !within(&self.imports, at) {
                self.source.used_names.insert(name);
            }
        }
        self.source.used_names.append(&mut self.renamed);
    }
}

/// Each name in the code, also those in the strings of attributes (`serialize_with = "name"`).
fn collect_names(tokens: TokenStream, names: &mut Vec<(String, (usize, usize))>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        let start = (token.span().start().line, token.span().start().column);
        match token {
            TokenTree::Ident(ident) => names.push((ident.to_string(), start)),
            TokenTree::Group(group) => collect_names(group.stream(), names),
            TokenTree::Literal(literal) => {
                let before = |back: usize| at.checked_sub(back).map(|at| tokens[at].to_string()).unwrap_or_default();
                if before(1) == "=" && before(2) != "doc" {
                    let text = literal.to_string();
                    names.extend(text.trim_matches('"').split("::").map(|name| (name.to_owned(), start)));
                }
            }
            TokenTree::Punct(_) => {}
        }
    }
}

impl<'a> Visit<'a> for Visitor {
    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        self.imports.push(range_of(item.span()));
        self.expand(&item.tree, &[]);
    }

    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.mention(path.span(), names);
        visit::visit_path(self, path);
    }

    /// `pub(super)` uses nothing.
    fn visit_vis_restricted(&mut self, _: &'a syn::VisRestricted) {}

    fn visit_attribute(&mut self, attribute: &'a syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.scan(&list.tokens);
        }
    }

    fn visit_macro(&mut self, call: &'a syn::Macro) {
        let mut names: Names = call.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        names.last_mut().expect("a macro has a name").push('!');
        self.mention(call.span(), names);
        self.scan(&call.tokens);
        let arguments = Punctuated::<syn::Expr, syn::Token![,]>::parse_terminated;
        if call.path.is_ident("matches") {
            if let Some((subject, _)) = call.tokens.to_string().split_once(',')
                && subject.parse::<TokenStream>().is_ok_and(names_version)
            {
                self.compare(call.span(), "matches! on a version");
            }
        } else if let Ok(arguments) = syn::parse::Parser::parse2(arguments, call.tokens.clone()) {
            // These live as long as this call; what is visited is kept as owned names.
            let mut inner = Visitor { module: self.module.clone(), ..Visitor::default() };
            arguments.iter().for_each(|argument| inner.visit_expr(argument));
            self.source.comparisons.append(&mut inner.source.comparisons);
        }
    }

    fn visit_expr_binary(&mut self, binary: &'a syn::ExprBinary) {
        use syn::BinOp::{Eq, Ge, Gt, Le, Lt, Ne};
        // Whether two versions that were read are the same one decides nothing about either.
        let is_identity = matches!(binary.op, Eq(_) | Ne(_)) && is_read(&binary.left) && is_read(&binary.right);
        let compares = matches!(binary.op, Lt(_) | Le(_) | Gt(_) | Ge(_) | Eq(_) | Ne(_));
        if compares && !is_identity && (is_version(&binary.left) || is_version(&binary.right)) {
            self.compare(binary.span(), "a comparison of a version");
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_method_call(&mut self, call: &'a syn::ExprMethodCall) {
        const COMPARING: [&str; 12] =
            ["cmp", "partial_cmp", "eq", "ne", "lt", "le", "gt", "ge", "max", "min", "contains", "clamp"];
        let compares = COMPARING.contains(&call.method.to_string().as_str());
        if compares && (is_version(&call.receiver) || call.args.iter().any(is_version)) {
            self.compare(call.method.span(), "a method that compares a version");
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_match(&mut self, item: &'a syn::ExprMatch) {
        if is_version(&item.expr) {
            self.compare(item.match_token.span(), "a match on a version");
        }
        visit::visit_expr_match(self, item);
    }

    fn visit_expr_let(&mut self, item: &'a syn::ExprLet) {
        if is_version(&item.expr) && matches!(&*item.pat, syn::Pat::Lit(_) | syn::Pat::Range(_) | syn::Pat::Or(_)) {
            self.compare(item.let_token.span(), "a pattern for a version");
        }
        visit::visit_expr_let(self, item);
    }

    fn visit_expr_range(&mut self, range: &'a syn::ExprRange) {
        if range.start.iter().chain(&range.end).any(|end| is_version(end)) {
            self.compare(range.span(), "a range of versions");
        }
        visit::visit_expr_range(self, range);
    }

    fn visit_pat_tuple(&mut self, pattern: &'a syn::PatTuple) {
        let number = |at: usize| match pattern.elems.iter().nth(at) {
            Some(syn::Pat::Lit(literal)) => whole(&literal.lit),
            _ => None,
        };
        if number(0) == Some(3) && number(1).is_some_and(|minor| minor >= 6) {
            self.compare(pattern.span(), "a pattern for a version");
        }
        visit::visit_pat_tuple(self, pattern);
    }

    fn visit_item_impl(&mut self, item: &'a syn::ItemImpl) {
        if let syn::Type::Path(path) = &*item.self_ty
            && let Some(last) = path.path.segments.last()
        {
            self.own.entry(last.ident.to_string()).or_default().push(range_of(item.span()));
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        self.define(&item.vis, &item.sig.ident, item.span());
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        self.define(&item.vis, &item.sig.ident, item.span());
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_item_const(&mut self, item: &'a syn::ItemConst) {
        self.define(&item.vis, &item.ident, item.span());
        visit::visit_item_const(self, item);
    }

    fn visit_impl_item_const(&mut self, item: &'a syn::ImplItemConst) {
        self.define(&item.vis, &item.ident, item.span());
        visit::visit_impl_item_const(self, item);
    }

    fn visit_item_static(&mut self, item: &'a syn::ItemStatic) {
        self.define(&item.vis, &item.ident, item.span());
        visit::visit_item_static(self, item);
    }

    fn visit_item_struct(&mut self, item: &'a syn::ItemStruct) {
        self.define(&item.vis, &item.ident, item.span());
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'a syn::ItemEnum) {
        self.define(&item.vis, &item.ident, item.span());
        visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'a syn::ItemTrait) {
        self.define(&item.vis, &item.ident, item.span());
        visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'a syn::ItemType) {
        self.define(&item.vis, &item.ident, item.span());
        visit::visit_item_type(self, item);
    }
}

/// Whether an expression is Python's version: it ends in `minor`, is a `Version`, or is a pair such as `(3, 11)`.
fn is_version(expr: &syn::Expr) -> bool {
    match expr {
        syn::Expr::Path(path) => {
            let names: Names = path.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            names.last().is_some_and(|name| is_minor(name)) || names.iter().any(|name| name == "Version")
        }
        syn::Expr::Field(field) => match &field.member {
            syn::Member::Named(name) => is_minor(&name.to_string()),
            syn::Member::Unnamed(_) => false,
        },
        syn::Expr::Struct(item) => item.path.segments.iter().any(|segment| segment.ident == "Version"),
        // Not `minor(device)`.
        syn::Expr::Call(call) if matches!(&*call.func, syn::Expr::Path(path) if path.path.is_ident("minor")) => false,
        syn::Expr::Call(call) => is_version(&call.func) || call.args.iter().any(is_version),
        syn::Expr::MethodCall(call) => is_minor(&call.method.to_string()) || is_version(&call.receiver),
        syn::Expr::Reference(inner) => is_version(&inner.expr),
        syn::Expr::Paren(inner) => is_version(&inner.expr),
        syn::Expr::Cast(inner) => is_version(&inner.expr),
        syn::Expr::Unary(inner) => is_version(&inner.expr),
        syn::Expr::Range(range) => range.start.iter().chain(&range.end).any(|end| is_version(end)),
        syn::Expr::Tuple(tuple) => {
            let number = |at: usize| match tuple.elems.iter().nth(at) {
                Some(syn::Expr::Lit(literal)) => whole(&literal.lit),
                _ => None,
            };
            tuple.elems.iter().any(is_version)
                || number(0) == Some(3) && number(1).is_some_and(|minor| (6..100).contains(&minor))
        }
        _ => false,
    }
}

/// Whether an expression is a field, or a tuple of fields.
fn is_read(expr: &syn::Expr) -> bool {
    match expr {
        syn::Expr::Field(_) => true,
        syn::Expr::Tuple(tuple) => tuple.elems.iter().all(is_read),
        _ => false,
    }
}

fn is_minor(name: &str) -> bool {
    name.to_lowercase().split('_').any(|word| word == "minor")
}

fn names_version(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(name) => is_minor(&name.to_string()),
        TokenTree::Group(group) => names_version(group.stream()),
        _ => false,
    })
}

fn whole(literal: &syn::Lit) -> Option<u32> {
    match literal {
        syn::Lit::Int(number) => number.base10_parse().ok(),
        _ => None,
    }
}
