//! Weaves mutants into a source text: `a < b` becomes a choice between `a < b`, `a == b` and `a > b`, made when it runs.
//!
//! Line ends stay where they are, and what is woven in is remembered by its place, so that an error of the compiler
//! tells which mutant it is about.

use crate::mutant::{Mutant, Place};
use proc_macro2::Span;
use std::ops::Range;
use syn::{
    Arm, BinOp, Block, Expr, ExprBinary, ExprUnary, ImplItemConst, ImplItemFn, ItemConst, ItemEnum, ItemFn, ItemStatic,
    Signature, TraitItemFn, UnOp,
    spanned::Spanned,
    visit::{self, Visit},
};

/// A source text with its mutants.
pub struct Woven {
    /// The text.
    pub text: String,
    /// Byte ranges of `text`, and the mutants that an error within is about: indices into the list.
    pub regions: Vec<(Range<usize>, Vec<usize>)>,
    /// The mutants that are in it.
    pub placed: Vec<usize>,
}

/// Weaves those of `mutants` (with their indices, which are their numbers at run time too) that can be chosen when it runs.
pub fn weave(source: &str, mutants: &[(usize, &Mutant)]) -> syn::Result<Woven> {
    let mut finder = Finder {
        mutants,
        nodes: Vec::new(),
    };
    finder.visit_file(&syn::parse_file(source)?);
    let mut nodes = finder.nodes;
    // The outer one first; what only inserts, before what begins there.
    nodes.sort_by_key(|node| (node.range.start, !node.range.is_empty(), usize::MAX - node.range.end));
    let placed = nodes.iter().flat_map(Node::mutants).collect();
    let mut weaver = Weaver {
        source,
        done: vec![false; nodes.len()],
        nodes: &nodes,
        woven: Woven {
            text: String::with_capacity(source.len() * 2),
            regions: Vec::new(),
            placed,
        },
    };
    weaver.source(0..source.len());
    Ok(weaver.woven)
}

/// A piece of what replaces a part of the source.
enum Piece {
    Text(String),
    /// Text that stands for one mutant alone.
    Of(usize, String),
    /// A part of the source in which others may be woven.
    Source(Range<usize>),
    /// A part of the source as it is.
    Plain(Range<usize>),
}

/// A part of the source, and what it becomes.
struct Node {
    range: Range<usize>,
    pieces: Vec<Piece>,
}

impl Node {
    fn mutants(&self) -> Vec<usize> {
        let of = |piece: &Piece| match piece {
            Piece::Of(index, _) => Some(*index),
            _ => None,
        };
        self.pieces.iter().filter_map(of).collect()
    }
}

struct Weaver<'a> {
    source: &'a str,
    nodes: &'a [Node],
    done: Vec<bool>,
    woven: Woven,
}

impl Weaver<'_> {
    fn source(&mut self, range: Range<usize>) {
        let mut at = range.start;
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            let inside = at <= node.range.start && node.range.start < range.end && node.range.end <= range.end;
            if self.done[index] || !inside {
                continue;
            }
            self.done[index] = true;
            self.woven.text.push_str(&self.source[at..node.range.start]);
            self.node(node);
            at = node.range.end;
        }
        self.woven.text.push_str(&self.source[at..range.end]);
    }

    fn node(&mut self, node: &Node) {
        let start = self.woven.text.len();
        for piece in &node.pieces {
            match piece {
                Piece::Text(text) => self.woven.text.push_str(text),
                Piece::Of(index, text) => {
                    let start = self.woven.text.len();
                    self.woven.text.push_str(text);
                    self.woven.regions.push((start..self.woven.text.len(), vec![*index]));
                }
                Piece::Source(range) => self.source(range.clone()),
                Piece::Plain(range) => self.woven.text.push_str(&self.source[range.clone()]),
            }
        }
        self.woven.regions.push((start..self.woven.text.len(), node.mutants()));
    }
}

struct Finder<'a> {
    mutants: &'a [(usize, &'a Mutant)],
    nodes: Vec<Node>,
}

/// The question whether this mutant is the one.
fn on(index: usize) -> String {
    format!("crate::mutant::on({index})")
}

fn text(text: &str) -> Piece {
    Piece::Text(text.to_owned())
}

impl Finder<'_> {
    fn at(&self, span: Span, genre: &str) -> Vec<(usize, String)> {
        let place = Place {
            line: span.start().line,
            column: span.start().column + 1,
        };
        let here = |(_, mutant): &&(usize, &Mutant)| {
            mutant.genre == genre && mutant.place() == place && !(genre == "FnValue" && mutant.is_of_hidden_type())
        };
        let found = self.mutants.iter().filter(here);
        found
            .map(|(index, mutant)| (*index, mutant.replacement.clone()))
            .collect()
    }

    fn put(&mut self, range: Range<usize>, pieces: Vec<Piece>) {
        self.nodes.push(Node { range, pieces });
    }

    /// Leaves at once with another value.
    fn function(&mut self, signature: &Signature, block: &Block) -> bool {
        if signature.constness.is_some() {
            return false;
        }
        if let Some(first) = block.stmts.first() {
            let values = self.at(first.span(), "FnValue");
            let at = first.span().byte_range().start;
            let leave =
                |(index, value): (usize, String)| Piece::Of(index, format!("if {} {{ return {value}; }} ", on(index)));
            if !values.is_empty() {
                self.put(at..at, values.into_iter().map(leave).collect());
            }
        }
        true
    }

    fn operator(&mut self, binary: &ExprBinary, found: Vec<(usize, String)>) {
        let (whole, left, right) = (
            binary.span().byte_range(),
            binary.left.span().byte_range(),
            binary.right.span().byte_range(),
        );
        let token = operator(&binary.op);
        let between = || Piece::Source(left.end..right.start);
        let (left_piece, right_piece) = (Piece::Source(left.clone()), Piece::Source(right.clone()));
        let pieces = match (&binary.op, &found[..]) {
            (BinOp::And(_) | BinOp::Or(_), [(index, _)]) => {
                let asks = if matches!(binary.op, BinOp::And(_)) { "!=" } else { "==" };
                vec![
                    text("({ let __l: bool = "),
                    left_piece,
                    Piece::Of(*index, format!("; if __l {asks} {} {{ ", on(*index))),
                    right_piece,
                    text(" } else { __l } })"),
                ]
            }
            (BinOp::Eq(_) | BinOp::Ne(_) | BinOp::Le(_) | BinOp::Ge(_), [(index, _)]) => vec![
                text("(("),
                left_piece,
                between(),
                right_piece,
                Piece::Of(*index, format!(") != {})", on(*index))),
            ],
            (BinOp::Lt(_) | BinOp::Gt(_) | BinOp::Le(_) | BinOp::Ge(_) | BinOp::Eq(_) | BinOp::Ne(_), _) => {
                let mut pieces = vec![
                    text("(match (&("),
                    left_piece,
                    text("), &("),
                    right_piece,
                    text(")) { (__l, __r) => "),
                ];
                choices(&mut pieces, "__l", token, found);
                pieces.push(text(" })"));
                pieces
            }
            _ if token.ends_with('=') => {
                let mut pieces = vec![text("({ let __r = "), right_piece, text("; ")];
                for (index, other) in found {
                    pieces.push(Piece::Of(index, format!("if {} {{ ", on(index))));
                    pieces.push(Piece::Plain(left.clone()));
                    pieces.push(Piece::Of(index, format!(" {other} __r }} else ")));
                }
                pieces.extend([text("{ "), Piece::Plain(left), text(&format!(" {token} __r }} }})"))]);
                pieces
            }
            _ => {
                let mut pieces = vec![
                    text("({ let (__l, __r) = ("),
                    left_piece,
                    text(", "),
                    right_piece,
                    text("); "),
                ];
                choices(&mut pieces, "__l", token, found);
                pieces.push(text(" })"));
                pieces
            }
        };
        self.put(whole, pieces);
    }
}

fn choices(pieces: &mut Vec<Piece>, left: &str, token: &str, found: Vec<(usize, String)>) {
    for (index, other) in found {
        pieces.push(Piece::Of(
            index,
            format!("if {} {{ {left} {other} __r }} else ", on(index)),
        ));
    }
    pieces.push(Piece::Text(format!("{{ {left} {token} __r }}")));
}

/// Does it bind a name for what follows it (`if let … && …`)? Then it cannot be moved into a choice.
fn binds(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(binary) if matches!(binary.op, BinOp::And(_)) => binds(&binary.left) || binds(&binary.right),
        _ => false,
    }
}

fn operator(op: &BinOp) -> &'static str {
    match op {
        BinOp::Add(_) => "+",
        BinOp::Sub(_) => "-",
        BinOp::Mul(_) => "*",
        BinOp::Div(_) => "/",
        BinOp::Rem(_) => "%",
        BinOp::And(_) => "&&",
        BinOp::Or(_) => "||",
        BinOp::BitXor(_) => "^",
        BinOp::BitAnd(_) => "&",
        BinOp::BitOr(_) => "|",
        BinOp::Shl(_) => "<<",
        BinOp::Shr(_) => ">>",
        BinOp::Eq(_) => "==",
        BinOp::Lt(_) => "<",
        BinOp::Le(_) => "<=",
        BinOp::Ne(_) => "!=",
        BinOp::Ge(_) => ">=",
        BinOp::Gt(_) => ">",
        BinOp::AddAssign(_) => "+=",
        BinOp::SubAssign(_) => "-=",
        BinOp::MulAssign(_) => "*=",
        BinOp::DivAssign(_) => "/=",
        BinOp::RemAssign(_) => "%=",
        BinOp::BitXorAssign(_) => "^=",
        BinOp::BitAndAssign(_) => "&=",
        BinOp::BitOrAssign(_) => "|=",
        BinOp::ShlAssign(_) => "<<=",
        BinOp::ShrAssign(_) => ">>=",
        _ => "?",
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    // What the compiler computes asks no question at run time.
    fn visit_item_const(&mut self, _: &'ast ItemConst) {}
    fn visit_item_static(&mut self, _: &'ast ItemStatic) {}
    fn visit_impl_item_const(&mut self, _: &'ast ImplItemConst) {}
    fn visit_item_enum(&mut self, _: &'ast ItemEnum) {}
    fn visit_type(&mut self, _: &'ast syn::Type) {}
    fn visit_pat(&mut self, _: &'ast syn::Pat) {}
    fn visit_expr_const(&mut self, _: &'ast syn::ExprConst) {}
    fn visit_expr_repeat(&mut self, repeat: &'ast syn::ExprRepeat) {
        self.visit_expr(&repeat.expr);
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        if self.function(&item.sig, &item.block) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        if self.function(&item.sig, &item.block) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        if let Some(block) = &item.default
            && self.function(&item.sig, block)
        {
            visit::visit_trait_item_fn(self, item);
        }
    }

    fn visit_expr_binary(&mut self, binary: &'ast ExprBinary) {
        let found = self.at(binary.op.span(), "BinaryOperator");
        if !found.is_empty() && !binds(&binary.left) && !binds(&binary.right) {
            self.operator(binary, found);
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_unary(&mut self, unary: &'ast ExprUnary) {
        let found = self.at(unary.op.span(), "UnaryOperator");
        let sign = if matches!(unary.op, UnOp::Not(_)) { "!" } else { "-" };
        if let [(index, _)] = &found[..] {
            self.put(
                unary.span().byte_range(),
                vec![
                    text("({ let __v = "),
                    Piece::Source(unary.expr.span().byte_range()),
                    Piece::Of(
                        *index,
                        format!("; if {} {{ __v }} else {{ {sign}__v }} }})", on(*index)),
                    ),
                ],
            );
        }
        visit::visit_expr_unary(self, unary);
    }

    fn visit_arm(&mut self, arm: &'ast Arm) {
        let gone = self.at(arm.span(), "MatchArm");
        match &arm.guard {
            None => {
                let end = arm.pat.span().byte_range().end;
                if let [(index, _)] = &gone[..] {
                    self.put(end..end, vec![Piece::Of(*index, format!(" if !{}", on(*index)))]);
                }
            }
            Some((_, guard)) if !binds(guard) => {
                let range = guard.span().byte_range();
                let mut before = Vec::new();
                for (index, _) in gone {
                    before.push(Piece::Of(index, format!("!{} && ", on(index))));
                }
                let replaced = self.at(guard.span(), "MatchArmGuard");
                for (index, value) in &replaced {
                    let asks = if value == "true" {
                        format!("({} || ", on(*index))
                    } else {
                        format!("(!{} && ", on(*index))
                    };
                    before.push(Piece::Of(*index, asks));
                }
                if !before.is_empty() {
                    before.push(text("("));
                    self.put(range.start..range.start, before);
                    self.put(range.end..range.end, vec![text(&")".repeat(replaced.len() + 1))]);
                }
            }
            Some(_) => {}
        }
        visit::visit_arm(self, arm);
    }
}
